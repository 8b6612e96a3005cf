"""How far a run has come: a table that grows and a bar below it on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.loadtest import figures, words
from ops.up.printer import Printer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, RenderableType

    from ops.loadtest.limits import Limit
    from ops.loadtest.saturation import Count
    from ops.loadtest.settings import Settings
    from ops.loadtest.step import Step

LINE_SECONDS = 10.0
"""Between two lines of a repetition where the output is no terminal."""
BAR_COLUMNS = 24
COLUMNS = ("load", "slots", "requests/s", "tokens/s", "TTFT p50", "p95", "token p50", "e2e p95", "errors")


class Display:
    """Shows a sweep; use it as a context. It is the sweep's watcher."""

    def __init__(self, console: Console, settings: Settings, limits: Sequence[Limit]) -> None:
        self._printer = Printer(console)
        self._is_live = console.is_terminal
        self._settings = settings
        self._limits = limits
        self._steps: list[Step] = []
        self._now = "starting"
        self._count: Count | None = None
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        self._printer.show(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Print what is left, and take the picture away."""
        self._printer.close()

    def line(self, text: str, style: str = "") -> None:
        """Print one line, whole."""
        self._printer.print(Text(text, style=style), soft_wrap=True)

    def print(self, what: RenderableType) -> None:
        """Print anything."""
        self._printer.print(what)

    def starting(self, parallel: int | None) -> None:
        """Tell that a local service starts."""
        self._count = None
        self._now = "starting the service" + ("" if parallel is None else f" with {words.plural(parallel, 'slot')}")
        self._begun = time.monotonic()
        if not self._is_live:
            self.line(self._now)

    def begins(self, step: Step, repetition: int) -> None:
        """Tell that a repetition begins."""
        self._count = None
        self._now = f"{step}, {repetition + 1} of {self._settings.repetitions}"
        self._begun = self._told = time.monotonic()

    def counts(self, count: Count) -> None:
        """Take in what has happened so far."""
        self._count = count
        if not self._is_live and time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            self.line(f"  {self._now}: {self._progress()}")

    def ends(self, step: Step) -> None:
        """Tell what came of a step."""
        self._steps = [*self._steps, step]
        if self._is_live:
            return
        if step.skipped:
            self.line(f"{step}: not run, {step.skipped}")
            return
        names = ("requests_per_second", "tokens_per_second", "ttft_p50", "ttft_p95", "tpot_p50", "e2e_p95", "error_share")
        row = dict(zip(names, _cells(step, self._limits)[2:], strict=True))
        stopped = f" · stopped: {step.stopped}" if step.stopped else ""
        self.line(
            f"{step}: {row['requests_per_second']} requests/s, {row['tokens_per_second']} tokens/s, TTFT p50 {row['ttft_p50']} "
            f"p95 {row['ttft_p95']}, token p50 {row['tpot_p50']}, e2e p95 {row['e2e_p95']}, errors {row['error_share']}{stopped}"
        )

    def __rich__(self) -> RenderableType:
        """Return the picture of this instant."""
        seconds = self._settings.warmup + self._settings.duration
        done = min(time.monotonic() - self._begun, seconds) if self._count else 0.0
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=seconds, completed=done, width=BAR_COLUMNS)
        grid.add_row(Text(self._now, "bold"), bar, Text(self._progress(), "dim", no_wrap=True, overflow="ellipsis"))
        parts: list[RenderableType] = [table(self._steps, self._limits)] if self._steps else []
        return Group(*parts, grid, Text("Ctrl-C stops and keeps what was measured", "dim"))

    def _progress(self) -> str:
        if self._count is None:
            return f"{time.monotonic() - self._begun:.0f} s"
        count = self._count
        failed = f", {count.failed} failed" if count.failed else ""
        return f"{count.at:.0f} s: {count.finished} answered, {count.sent - count.finished} under way{failed}"


def table(steps: Sequence[Step], limits: Sequence[Limit]) -> Table:
    """Return the steps with their figures."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        result.add_column(name, justify="left" if name == "load" else "right")
    for step in steps:
        if step.skipped:
            result.add_row(str(step.load), _slots(step), Text(step.skipped, "dim"))
            continue
        result.add_row(*_cells(step, limits), style="yellow" if step.stopped else "")
    return result


def _slots(step: Step) -> str:
    return words.NONE if step.parallel is None else str(step.parallel)


def _cells(step: Step, limits: Sequence[Limit]) -> list[str]:
    found = figures.of(step.usable, limits)
    get = lambda name: figures.values(found, name)  # noqa: E731 — seven uses below
    times = [words.seconds(get(name)) for name in ("ttft_p50", "ttft_p95", "tpot_p50", "e2e_p95")]
    rates = [words.number(get(name)) for name in ("requests_per_second", "tokens_per_second")]
    return [str(step.load), _slots(step), *rates, *times, words.share(get("error_share"))]
