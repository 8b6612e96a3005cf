"""Whether Ollama answers: one count of failures, which startup, monitor and warm-up share."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from probe_agent.errors import OllamaError, ServerUnreachable
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.backoff import FailureStreak
from probe_agent.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


class ServerHealth:
    """Counts failures in a row against the threshold. `failures` counts all of them, by kind, for the metrics.

    `last_progress` is when Ollama last answered or failed, in seconds of `clock`: the agent itself was alive then.
    """

    def __init__(
        self, settings: Settings, server: OllamaClient, clock: Callable[[], float], failures: Counter[str]
    ) -> None:
        self.last_progress = clock()
        self._settings = settings
        self._server = server
        self._clock = clock
        self._failures = failures
        self._streak = FailureStreak()

    @property
    def failures_in_a_row(self) -> int:
        """How many requests failed since one succeeded."""
        return self._streak.count

    def answered(self) -> None:
        """Note that Ollama answered."""
        self.last_progress = self._clock()
        _log_end(self._streak.end(self.last_progress))

    def failed(self, error: OllamaError, *, starting: bool = False) -> bool:
        """Note that Ollama did not answer; return whether it has failed as often as the threshold says.

        While Ollama is `starting`, a failure is no fault of its, and the metrics do not count it.
        """
        self.last_progress = self._clock()
        if not starting:
            self._failures[type(error).__name__] += 1
        _log_end(self._streak.fail(error.reason, self.last_progress))
        return self._streak.count >= self._settings.failure_threshold

    async def sign_of_life(self) -> OllamaError | None:
        """Ask Ollama for its version; return the error when it does not answer."""
        try:
            await self._server.version(self._settings.timeout_seconds)
        except OllamaError as error:
            return error
        return None

    async def while_alive(self, waiting: Awaitable[T]) -> T:
        """Wait for a long answer for as long as the server shows signs of life, asked for once a period.

        Raises what `waiting` raises, and `ServerUnreachable` when the failures reach the threshold.
        """
        task = asyncio.ensure_future(waiting)
        try:
            while not (await asyncio.wait({task}, timeout=self._settings.period_seconds))[0]:
                error = await self.sign_of_life()
                if error is None:
                    self.answered()
                elif self.failed(error) and not task.done():
                    raise ServerUnreachable(f"Ollama stopped answering: {error.reason}", action=error.action)
            return task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _log_end(summary: str | None) -> None:
    if summary:
        log.info("no more of: %s", summary)
