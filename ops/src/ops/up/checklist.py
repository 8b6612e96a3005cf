"""The live part of the display: each step of the start, done, going on, or still to come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ops.up.agent_status import AgentStatus, Phase
from ops.up.journal import Event, Kind
from ops.up.run_state import LocalRun
from ops.up.waterfall import LABELS

STARTED, OPEN = "container started", "gate open"
STEPS = (STARTED, *LABELS.values(), OPEN)
FETCHED = LABELS["model_fetched"]
# A status older than this is told as such: three looks of a watched agent went without an answer.
SILENT_SECONDS = 3.0


@dataclass(slots=True)
class Checklist:
    """The steps reached so far; `started_at` is the wall clock of the first container's start.

    It is drawn in another thread than it is told of steps in: `_reached` is replaced, never changed.
    """

    started_at: float = 0.0
    local: LocalRun | None = None
    _reached: dict[str, float] = field(default_factory=dict)
    _latest: AgentStatus | None = None
    _spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))

    def event(self, event: Event) -> None:
        """Take in what the platform did."""
        if event.kind is Kind.CONTAINER_STARTED:
            self.started_at = self.started_at or event.at
            self._reach(STARTED, event.at)
        if event.kind is Kind.GATE_OPEN:
            self._reach(OPEN, event.at)

    def status(self, status: AgentStatus) -> list[Phase]:
        """Take in what the agent reports; returns the phases that are new."""
        self._latest = status
        new = [phase for phase in status.phases if LABELS.get(phase.name, phase.name) not in self._reached]
        for phase in new:
            self._reach(LABELS.get(phase.name, phase.name), status.started_at + phase.at_seconds)
        return new

    def _reach(self, step: str, at: float) -> None:
        self._reached = {**self._reached, step: at}

    def __rich__(self) -> RenderableType:
        """Draw: the steps while starting, one line while serving."""
        return self._serving() if {LABELS["ready"], OPEN} <= self._reached.keys() else self._starting()

    def _starting(self) -> RenderableType:
        reached = self._reached
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=1)
        grid.add_column(min_width=18)
        grid.add_column(justify="right")
        grid.add_column(overflow="ellipsis", no_wrap=True)
        going_on = True
        for step in self._steps():
            if step in reached:
                grid.add_row(Text("✔", "green"), step, f"{reached[step] - self.started_at:.3f} s", "")
            elif going_on:
                grid.add_row(self._spinner, Text(step, "bold"), self._elapsed(), Text(self._detail(), "dim"))
                going_on = False
            else:
                grid.add_row(Text("·", "dim"), Text(step, "dim"), "", "")
        return Group(Text(""), grid, self._requests())

    def _steps(self) -> list[str]:
        """Leave out the fetch where the model is in the image: nothing is waited for."""
        has_source = self._latest is not None and self._latest.fetched_bytes is not None
        return [step for step in STEPS if step != FETCHED or has_source]

    def _elapsed(self) -> Text:
        since = max(self._reached.values(), default=None)
        return Text("" if since is None else f"{time.time() - since:.1f} s", "dim")

    def _detail(self) -> str:
        if self._latest is None:
            return ""
        return f"{self._latest.state}: {self._latest.reason}{_bytes(self._latest)}{self._silence()}"

    def _silence(self) -> str:
        seconds = time.time() - self._latest.received_at if self._latest else 0.0
        return f" · agent silent for {seconds:.0f} s" if seconds > SILENT_SECONDS else ""

    def _serving(self) -> RenderableType:
        """Say first what a client meets: a front that refuses is not READY, whatever the agent said last."""
        refuses = self.local is not None and not self.local.gate.ready
        state = self._latest.state if self._latest else "?"
        shown = f"NOT READY: requests get 503 (agent: {state})" if refuses else state
        style = "bold green" if shown == "READY" and not self._silence() else "bold red"
        return Text.assemble(
            ("● ", style), (shown + self._silence(), style), " · ", self._requests(), " · Ctrl-C stops"
        )

    def _requests(self) -> Text:
        if self.local is None:
            return Text("")
        front = self.local.front
        waiting = f" · {front.waiting} waiting" if front.waiting else ""
        in_flight = f"{front.in_flight}/{front.concurrency} in flight{waiting}"
        so_far = f"{front.asked} request{'' if front.asked == 1 else 's'} so far"
        return Text(f"{self.local.url} · {in_flight} · {so_far}", "dim")


def _bytes(status: AgentStatus) -> str:
    """Say how far the fetch is, or how much is being loaded."""
    if status.state == "FETCHING" and status.fetched_bytes:
        done, total = status.fetched_bytes
        return f" ({done / 1e6:,.0f} of {total / 1e6:,.0f} MB)"
    return f" ({status.size_bytes / 1e6:.0f} MB)" if status.size_bytes else ""
