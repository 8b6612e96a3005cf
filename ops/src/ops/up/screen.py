"""What the operator sees: a live checklist on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Self

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.console import Printer
from ops.up import waterfall
from ops.up.agent_status import AgentStatus
from ops.up.checklist import Checklist
from ops.up.environment import Substitution
from ops.up.journal import Event, Kind
from ops.up.once import Chat
from ops.up.options import Options
from ops.up.plan import Plan
from ops.up.report import Admission
from ops.up.run_state import LocalRun

# How agents, Ollama and Python mark what went wrong.
URGENT = re.compile(r"\b(WARN(ING)?|ERROR|CRITICAL|FATAL|panic|Traceback)\b")
# A table of four columns is readable from here on; below, each substitution is a line of text.
TABLE_COLUMNS = 80
COLOURS = ("cyan", "magenta", "yellow", "blue", "green")
EVENT_STYLES: Mapping[Kind, str] = {
    Kind.GATE_OPEN: "bold green",
    Kind.NOT_READY: "bold red",
    Kind.READY_AGAIN: "bold green",
    Kind.STOPPING: "bold",
    Kind.KILLED: "bold red",
}
# Events that follow from what the agent did; their lines wait for its next status, a fifth of a second at most.
AFTER_PHASES = frozenset({Kind.STARTUP_PASSED, Kind.GATE_OPEN})


class Screen:
    """Shows a run on a console. On a terminal the checklist stays below the lines; use it as a context."""

    def __init__(self, console: Console, *, logs: bool | None) -> None:
        self._printer = Printer(console)
        self._columns = console.width
        self._is_live = console.is_terminal
        self._logs = logs
        self._checklist = Checklist()
        self._colours: dict[str, str] = {}
        self._width = 0
        self._late: list[tuple[float, str, str]] = []
        self._has_agent = False

    def __enter__(self) -> Self:
        """Nothing is to be done: what is shown is printed as it comes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Print what is left, and end the live display."""
        self._printer.close()

    def when_gone(self, told: Callable[[], object]) -> None:
        """Call this, from any thread, once nobody can see what is shown."""
        self._printer.when_gone(told)

    def plan(self, plan: Plan, options: Options) -> None:
        """Say what will run, and what is substituted."""
        self._has_agent = plan.agent_url is not None
        names = [container.name for container in plan.service.containers]
        self._width = max(map(len, names))
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}
        title = f"service {plan.service.name} ({options.file}) · waits for the startup probes of: {options.gating}"
        self._print(title, "bold")
        for name in names:
            role = " (ingress)" if name == plan.service.ingress.name else ""
            line = Text(f"  {name}{role}: ", style=self._colours[name])
            self._printer.print(line.append(plan.runtimes[name].description, style="default"))
        self._substitutions(plan.substitutions, options.file.name)

    def _substitutions(self, substitutions: Sequence[Substitution], file: str) -> None:
        if self._columns < TABLE_COLUMNS:
            self._print("what is different here", "bold")
            for item in substitutions:
                why = f" ({item.why})" if item.why else ""
                self._print(f"  {item.where} {item.setting}: {_short(item.here)}, in {file} {item.in_file}{why}")
            return
        table = Table(box=SIMPLE_HEAD, title="what is different here", title_justify="left", title_style="bold")
        table.add_column("setting", no_wrap=True)
        for column in (file, "here", "why"):
            table.add_column(column, overflow="fold")
        for where, items in groupby(substitutions, key=lambda item: item.where):
            table.add_row(Text(where, style=self._colours.get(where, "bold")))
            for item in items:
                table.add_row(f"  {item.setting}", item.in_file, _short(item.here), item.why)
        self._printer.print(table)

    def watch(self, local: LocalRun) -> None:
        """Begin the live display, of a run with its ingress and requests."""
        self._checklist.local = local
        self._printer.show(self._checklist)

    def event(self, event: Event) -> None:
        """Show what the platform does."""
        self._checklist.event(event)
        if not self._is_live or event.kind in EVENT_STYLES:
            style = EVENT_STYLES.get(event.kind, "bold")
            self._late.append((event.at, f"{event.kind} {event.text}".strip(), style))
        if event.kind not in AFTER_PHASES or not self._has_agent:
            self._flush()

    def status(self, status: AgentStatus) -> None:
        """Show what the agent reports; plain lines only for what is new."""
        for phase in self._checklist.status(status):
            if not self._is_live:
                at = status.started_at + phase.at_seconds
                self._late.append((at, waterfall.LABELS.get(phase.name, phase.name), "bold"))
        self._flush()

    def output(self, container: str, line: str) -> None:
        """Show a line of a container: with --logs every one, without a choice warnings and errors."""
        if self._logs or (self._logs is None and URGENT.search(line)):
            prefix = Text(f"{container:>{self._width}} │ ", style=self._colours.get(container, ""))
            self._printer.output(prefix + Text.from_ansi(line))

    def opened(self, url: str, agent_url: str | None, model: str | None) -> None:
        """Say where the service is, with the commands that a user wants first; unboxed, to be copied."""
        self._flush()
        self._print(f"the ingress is open: {url}", "bold green")
        if model:
            body = f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}'
            self._print(f"  curl {url}/api/chat -d '{body}'")
        if agent_url:
            self._print(f"  curl {agent_url}/healthz  # the agent; its page: {agent_url}/")

    def chat(self, chat: Chat) -> None:
        """Show an answer."""
        took = f"first part after {chat.first_seconds:.2f} s, all after {chat.seconds:.2f} s"
        self._print(f"{chat.client} ({took})", "bold")
        self._print(f"  {chat.answer}")

    def summary(self, status: AgentStatus | None, admission: Admission) -> None:
        """Show the waterfall and what the gate did."""
        self._flush()
        closed = admission.early_seconds is not None and admission.early_seconds <= 0
        if status and status.phases:
            self._printer.print(waterfall.table(status, self._columns))
            self._print(waterfall.summary(status, closed=closed))
        self._print(str(admission), "green" if closed else "bold red")

    def failure(self, text: str) -> None:
        """Show why a run ended."""
        self._flush()
        self._print(f"ops up: {text}", "bold red")

    def _flush(self) -> None:
        """Print what is noted, in the order in which it happened."""
        for at, text, style in sorted(self._late, key=lambda line: line[0]):
            self._print(f"{at - self._checklist.started_at:8.3f} s  {text}", style)
        self._late.clear()

    def _print(self, text: str, style: str = "") -> None:
        """Print one logical line; only the terminal wraps it, so that it can be copied whole."""
        self._printer.print(Text(text, style=style), soft_wrap=True)


def _short(text: str) -> str:
    """Write the home directory as people do."""
    home = str(Path.home())
    return "~" + text.removeprefix(home) if text.startswith(home + "/") else text
