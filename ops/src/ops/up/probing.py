"""Probes as the kubelet runs them: a question, its time-out, a period, a threshold of failures in a row."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx

from ops.service.containers import TCP_SOCKET, Probe
from ops.up.errors import InstanceError
from ops.up.ports import LOOPBACK

SUCCESS = range(200, 400)
# Between two attempts of a TCP probe. Cloud Run's default probe (one failure allowed, 240 s) makes sense only if the
# platform keeps trying to connect for the whole time-out, so that is what a TCP probe does here.
DIAL_PAUSE_SECONDS = 0.01
# Characters of a failed probe's body that are shown.
TEXT_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Answer:
    """What one probe brought: success, and for people the status and body, or the error."""

    success: bool
    text: str


class Prober:
    """Asks probes; one connection for each, as the kubelet does, so that none outlives its probe."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            trust_env=False,  # probes never go through a proxy
            timeout=None,  # noqa: S113 — `ask` bounds the whole exchange by the probe's own timeoutSeconds
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"user-agent": "ops-up-probe"},
        )

    async def ask(self, probe: Probe) -> Answer:
        """Ask once, for at most `timeout_seconds`; never raises for what the other side does."""
        try:
            async with asyncio.timeout(probe.timeout_seconds):
                return await (_dial(probe.port or 0) if probe.kind == TCP_SOCKET else self._get(probe))
        except TimeoutError:
            return Answer(success=False, text=f"no answer within {probe.timeout_seconds} s")
        except httpx.HTTPError as error:
            return Answer(success=False, text=f"{type(error).__name__}: {error}")

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()

    async def _get(self, probe: Probe) -> Answer:
        url = f"http://{LOOPBACK}:{probe.port}{probe.path}"
        response = await self._client.get(url, headers=list(probe.headers))
        success = response.status_code in SUCCESS
        return Answer(success, f"{response.status_code} {' '.join(response.text.split())[:TEXT_LIMIT]}")


async def _dial(port: int) -> Answer:
    while True:
        try:
            _, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            await asyncio.sleep(DIAL_PAUSE_SECONDS)
        else:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return Answer(success=True, text="connected")


async def answers(probe: Probe, prober: Prober) -> AsyncIterator[Answer]:
    """Ask again and again: after the initial delay, then at the period's next tick after each answer."""
    loop = asyncio.get_running_loop()
    first = loop.time() + probe.initial_delay_seconds
    await asyncio.sleep(probe.initial_delay_seconds)
    while True:
        yield await prober.ask(probe)
        ticks = math.floor((loop.time() - first) / probe.period_seconds) + 1
        await asyncio.sleep(first + ticks * probe.period_seconds - loop.time())


async def until_passed(name: str, probe: Probe, prober: Prober) -> int:
    """Run a startup probe to its first success; returns how many times it was asked.

    Raises:
        InstanceError: it failed `failure_threshold` times; the text holds its last answer.

    """
    asked = 0
    async for answer in answers(probe, prober):
        asked += 1
        if answer.success:
            return asked
        if asked == probe.failure_threshold:
            raise InstanceError(
                f"container {name!r}: its startup probe ({probe}) failed {asked} times; last answer: {answer.text}"
            )
    raise AssertionError  # pragma: no cover — `answers` does not end


async def verdicts(probe: Probe, prober: Prober) -> AsyncIterator[tuple[bool, str]]:
    """Yield (healthy, last answer) whenever the verdict of a liveness or readiness probe changes.

    It begins as healthy, falls after `failure_threshold` failures in a row, rises with one success.
    """
    healthy, failures = True, 0
    async for answer in answers(probe, prober):
        failures = 0 if answer.success else failures + 1
        if answer.success != healthy and (answer.success or failures >= probe.failure_threshold):
            healthy = answer.success
            yield healthy, answer.text
