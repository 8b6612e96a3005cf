"""How far a comparison has come: a bar for each type of cache on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.console import Printer

# Between two lines of a type where the output is no terminal.
LINE_SECONDS = 10.0
BAR_COLUMNS = 24


class Display:
    """Shows each type of cache with its answers; use it as a context. One type is asked after the other."""

    def __init__(self, console: Console, names: Sequence[str], questions: int) -> None:
        self._printer = Printer(console)
        self._is_live = console.is_terminal
        self._questions = questions
        self._answered = dict.fromkeys(names, 0)
        self._states = dict.fromkeys(names, "")
        self._now = ""
        self._begun = self._told = time.monotonic()

    def __enter__(self) -> Self:
        """Begin to show."""
        self._printer.show(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Print what is left, and take the picture away."""
        self._printer.close()

    def starts(self, name: str) -> None:
        """Tell that the service of a type starts."""
        self._now, self._states[name] = name, "starting the service"
        self._begun = self._told = time.monotonic()
        self._line(f"{name}: starting the service")

    def answered(self, number: int) -> None:
        """Tell how many questions the type has answered."""
        self._answered[self._now] = number
        self._states[self._now] = f"{number} of {self._questions} answered"
        now = time.monotonic()
        if number == self._questions or now - self._told >= LINE_SECONDS:
            self._told = now
            self._line(f"{self._now}: {self._states[self._now]}, {now - self._begun:.0f} s")

    def ends(self) -> None:
        """Tell that the type is done."""
        self._states[self._now] += f" in {time.monotonic() - self._begun:.0f} s"
        self._now = ""

    def __rich__(self) -> RenderableType:
        """Return the picture of this instant."""
        grid = Table.grid(padding=(0, 1))
        for name, state in self._states.items():
            seconds = f", {time.monotonic() - self._begun:.0f} s" if name == self._now else ""
            bar = ProgressBar(total=self._questions, completed=self._answered[name], width=BAR_COLUMNS)
            style = "bold" if name == self._now else ""
            grid.add_row(Text(name, style), bar, Text(state + seconds, "dim", no_wrap=True, overflow="ellipsis"))
        return Group(grid, Text("Ctrl-C stops and keeps what was answered", "dim"))

    def _line(self, text: str) -> None:
        if not self._is_live:
            self._printer.print(Text(text), soft_wrap=True)
