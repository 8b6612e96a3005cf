"""`ops up`: read, plan, run, and say at the end how it went."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from typing import TYPE_CHECKING

from ops.up import once, report
from ops.up.errors import InstanceError, LaunchError, UpError
from ops.up.local_run import running
from ops.up.manifest import read_service
from ops.up.plan import make_plan
from ops.up.screen import OutputConsole, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ops.up.local_run import LocalRun
    from ops.up.options import Options
    from ops.up.plan import Plan

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PLAIN_WIDTH = 120
"""Columns where the output is no terminal, such as a log of a build."""
INTERRUPTED = 130
"""A shell's status for a program that SIGINT ended."""


def run(options: Options, console: Console | None = None) -> int:
    """Run `ops up`; returns the exit status: 0 well, 1 failed, 2 not started, 130 interrupted."""
    screen = Screen(console or _console(), logs=options.logs)
    try:
        _check_report(options)
        with _interruptible():
            plan = make_plan(read_service(options.file), options, os.environ)
        screen.plan(plan, options)
        with screen:
            return asyncio.run(_Run(plan, options, screen).main())
    except UpError as error:
        screen.failure(str(error))
        return error.exit_status
    except KeyboardInterrupt:
        return INTERRUPTED  # while the model store was being prepared


def _check_report(options: Options) -> None:
    """Complain about the report's place before the run, not after it."""
    if options.report and not options.report.absolute().parent.is_dir():
        raise LaunchError(f"--report {options.report}: its directory does not exist; create it, or choose another")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let every stopping signal raise KeyboardInterrupt, so that the preparation of a model cleans up."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _console() -> Console:
    console = OutputConsole(highlight=False)
    return console if console.is_terminal else OutputConsole(highlight=False, width=PLAIN_WIDTH)


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
        task = asyncio.current_task()
        assert task is not None, "asyncio.run made one"  # noqa: S101 — for the type checker
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number, task)
        failure: str | None = None
        try:
            await self._run()
        except UpError as error:
            failure = str(error)
            raise
        except asyncio.CancelledError:
            if not self._stopping:
                raise
            return INTERRUPTED if self._hurried or self._options.once else 0
        finally:
            self._write_report(failure)
        return 0

    async def _run(self) -> None:
        seconds = self._options.timeout_seconds if self._options.once else None
        try:
            async with asyncio.timeout(seconds), running(self._plan, self._options, self._screen) as local:
                self._local = local
                self._screen.watch(local)
                await (self._once(local) if self._options.once else self._until_stopped(local))
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

    async def _once(self, local: LocalRun) -> None:
        """Chat both ways as soon as the gate is open, then show what the start was like."""
        model = self._plan.model
        if model is None:
            raise UpError("--once needs a model: no container has PROBE_AGENT_MODEL; name one with --model")
        timeout = self._plan.service.timeout_seconds
        await local.gate.wait_open()
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
        if self._options.report and self._local:
            content = json.dumps(report.as_json(self._local, failure), indent=2)
            self._options.report.write_text(content + "\n", encoding="utf-8")
