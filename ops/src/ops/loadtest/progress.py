"""How far a run has come: a table that grows and a bar below it on a terminal, plain lines elsewhere."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.console import Printer
from ops.loadtest import figure, figures, words
from ops.loadtest.figure import Figure
from ops.loadtest.limits import Limit
from ops.loadtest.options import Options
from ops.loadtest.record import Step
from ops.loadtest.saturation import Count

# Between two lines of a repetition where the output is no terminal.
LINE_SECONDS = 10.0
BAR_COLUMNS = 24
# The last ones: a picture taller than the terminal would lose its foot, where the bar is.
LIVE_ROWS = 12
COLUMNS = ("load", "slots", "requests/s", "tokens/s", "TTFT p50", "TTFT p95", "token p50", "e2e p95", "errors")


class Row(NamedTuple):
    """A line of the table: cells for `COLUMNS`, or the first few of them."""

    cells: tuple[str, ...]
    style: str


class Display:
    """Shows a sweep; use it as a context. It is the sweep's watcher."""

    def __init__(self, console: Console, options: Options, limits: Sequence[Limit]) -> None:
        self._printer = Printer(console)
        self._is_live = console.is_terminal
        self._options = options
        self._limits = limits
        self._rows: dict[object, Row] = {}
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
        self._now = f"{step}, {repetition + 1} of {self._options.repetitions}"
        self._begun = self._told = time.monotonic()

    def counts(self, count: Count) -> None:
        """Take in what has happened so far."""
        self._count = count
        if not self._is_live and time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            self.line(f"  {self._now}: {self._progress()}")

    def ends(self, step: Step, repetition: int) -> None:
        """Tell what is known of a step by now; its row takes the place of the one before."""
        if step.skipped and repetition:
            return
        row = row_of(step, figures.of(step.usable, self._limits))
        self._rows = {**self._rows, step.key: row}
        if self._is_live:
            return
        if step.skipped:
            self.line(f"{step}: not run, {step.skipped}")
            return
        shown = ", ".join(f"{name} {cell}" for name, cell in zip(COLUMNS[2:], row.cells[2:], strict=True))
        times = f" ({repetition + 1} of {self._options.repetitions})"
        self.line(f"{step}{times}: {shown}" + (f" · stopped: {step.stopped}" if step.stopped else ""))

    def __rich__(self) -> RenderableType:
        """Return the picture of this instant."""
        seconds = self._options.warmup + self._options.duration
        done = min(time.monotonic() - self._begun, seconds) if self._count else 0.0
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=seconds, completed=done, width=BAR_COLUMNS)
        grid.add_row(Text(self._now, "bold"), bar, Text(self._progress(), "dim", no_wrap=True, overflow="ellipsis"))
        parts: list[RenderableType] = [table([*self._rows.values()][-LIVE_ROWS:])] if self._rows else []
        return Group(*parts, grid, Text("Ctrl-C stops and keeps what was measured", "dim"))

    def _progress(self) -> str:
        if self._count is None:
            return f"{time.monotonic() - self._begun:.0f} s"
        count = self._count
        failed = f", {count.failed} failed" if count.failed else ""
        return f"{count.at:.0f} s: {count.finished} answered, {count.sent - count.finished} under way{failed}"


def table(rows: Sequence[Row]) -> Table:
    """Return the steps with their figures."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1), show_edge=False)
    for name in COLUMNS:
        heading = name.replace(" ", "\n").replace("/", "\n/")  # two lines: all columns fit a terminal of eighty
        result.add_column(heading, justify="left" if name == "load" else "right", no_wrap=True)
    for row in rows:
        result.add_row(*row.cells, style=row.style)
    return result


def row_of(step: Step, found: Mapping[str, Figure]) -> Row:
    """Return a step's row; one that was not run says why."""
    slots = words.NONE if step.parallel is None else str(step.parallel)
    if step.skipped:
        return Row((str(step.load), slots, step.skipped), "dim")
    times = [words.seconds(figure.value(found, name)) for name in ("ttft_p50", "ttft_p95", "tpot_p50", "e2e_p95")]
    rates = [words.number(figure.value(found, name)) for name in ("requests_per_second", "tokens_per_second")]
    failed = words.share(figure.value(found, "error_share"))
    return Row((str(step.load), slots, *rates, *times, failed), "yellow" if step.stopped else "")
