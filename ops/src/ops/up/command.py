"""`ops up`: read, plan, run, and say at the end how it went."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator

from rich.console import Console

from ops.console import standard_output
from ops.up import once, report
from ops.up.agent_status import AgentWatch
from ops.up.errors import InstanceError, LaunchError, UpError
from ops.up.local_run import running
from ops.up.manifest import read_service
from ops.up.options import Options
from ops.up.plan import Plan, make_plan
from ops.up.run_state import LocalRun
from ops.up.screen import Screen

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# The most that --once may take, where --timeout does not say otherwise.
ONCE_SECONDS = 300.0
# A shell's status for a program that SIGINT ended.
INTERRUPTED = 130


def up(options: Options = Options()) -> int:  # noqa: B008 — it is frozen
    """Run a service.yaml on this machine as Cloud Run would: the same containers, probes and gate."""
    return run(options)


def run(options: Options, console: Console | None = None) -> int:
    """Run `ops up`; returns the exit status: 0 well, 1 failed, 2 not started, 130 interrupted."""
    with Screen(console or standard_output(), logs=options.shown_logs) as screen:
        try:
            _check(options)
            with _interruptible():
                plan = make_plan(read_service(options.file), options, os.environ)
            screen.plan(plan, options)
            return asyncio.run(_Run(plan, options, screen).main())
        except UpError as error:
            screen.failure(str(error))
            return error.exit_status
        except KeyboardInterrupt:
            return INTERRUPTED  # while the model store was being prepared


def _check(options: Options) -> None:
    """Complain before the run, not after it."""
    if options.standin and options.image_root:
        raise LaunchError("--standin and --image-root: give one of them")
    if options.timeout_seconds is not None and not options.once:
        raise LaunchError("--timeout bounds a run of --once: add --once, or leave --timeout out")
    if options.report:
        try:
            options.report.open("a").close()
        except OSError as error:
            raise LaunchError(f"--report {options.report}: {error.strerror}; choose another file") from error


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let every stopping signal raise KeyboardInterrupt, so that the preparation of a model cleans up."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _raise_when_failed(agent: AgentWatch) -> None:
    status = await agent.wait_failed()
    raise InstanceError(f"the agent is FAILED: {status.reason}. {status.action}")


class _Run:
    """One run under signals: the first stops it in order, a second Ctrl-C kills it."""

    def __init__(self, plan: Plan, options: Options, screen: Screen) -> None:
        self._plan = plan
        self._options = options
        self._screen = screen
        self._stopping = False
        self._hurried = False
        self._local: LocalRun | None = None

    async def main(self) -> int:
        """Run until stopped, or once; returns the exit status."""
        self._listen()
        try:
            await self._run()
            status = 0
        except UpError as error:
            self._write_report(str(error))
            raise
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            status = INTERRUPTED if self._hurried or self._options.once else 0
        finally:
            self._screen.when_gone(lambda: None)  # the loop ends, and with it what could be stopped
        self._write_report(None)
        return status

    def _listen(self) -> None:
        """Stop this task at a signal, and when nobody can see the output any more, as at a closed terminal."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "asyncio.run made one"  # noqa: S101 — for the type checker
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number, task)
        self._screen.when_gone(lambda: loop.call_soon_threadsafe(self._on_signal, signal.SIGHUP, task))

    async def _run(self) -> None:
        seconds = (self._options.timeout_seconds or ONCE_SECONDS) if self._options.once else None
        try:
            async with asyncio.timeout(seconds), running(self._plan, self._options, self._screen) as local:
                self._local = local
                self._screen.watch(local)
                await (self._once_or_failed(local) if self._options.once else self._until_stopped(local))
        except TimeoutError:
            raise InstanceError(f"not done within {seconds:g} s (--timeout); {self._state()}") from None

    async def _until_stopped(self, local: LocalRun) -> None:
        await local.gate.wait_open()
        if local.agent:
            await local.agent.refresh()  # so that what led to the opening is shown before it
        self._screen.opened(local.url, self._plan.agent_url, self._plan.model)
        if local.agent:
            status = await local.agent.wait_ready()
            self._screen.summary(status, report.admission(local))
        await asyncio.Event().wait()

    async def _once_or_failed(self, local: LocalRun) -> None:
        """Do not wait for the platform to give up on an agent that has: what it found no other try mends."""
        async with asyncio.TaskGroup() as group:
            doom = group.create_task(_raise_when_failed(local.agent)) if local.agent else None
            await self._once(local)
            if doom:
                doom.cancel()

    async def _once(self, local: LocalRun) -> None:
        """Chat both ways, the first time at once, so that the gate must hold it; then show what the start was like."""
        model = self._plan.model
        if model is None:
            raise UpError("--once needs a model: no container has PROBE_AGENT_MODEL; name one with --model")
        timeout = self._plan.service.timeout_seconds
        chats = [await chat(local.url, model, timeout) for chat in (once.chat_ollama, once.chat_openai)]
        status = await local.agent.wait_ready() if local.agent else None
        for chat in chats:
            self._screen.chat(chat)
        self._screen.summary(status, report.admission(local))

    def _on_signal(self, number: signal.Signals, task: asyncio.Task[object]) -> None:
        if not self._stopping:
            self._stopping = True
            task.cancel()
        elif self._local and number is signal.SIGINT:
            self._hurried = True
            self._local.instance.hurry()

    def _state(self) -> str:
        status = self._local.agent.latest if self._local and self._local.agent else None
        return f"the agent said {status.state}: {status.reason}" if status else "the agent said nothing"

    def _write_report(self, failure: str | None) -> None:
        if not (self._options.report and self._local):
            return
        content = json.dumps(report.as_json(self._local, failure), indent=2)
        try:
            self._options.report.write_text(content + "\n", encoding="utf-8")
        except OSError as error:
            ended = failure or "the run ended well"
            raise UpError(f"{ended}; but --report {self._options.report} was not written: {error.strerror}") from error
