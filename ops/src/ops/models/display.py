"""How far a push has come: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.console import Printer
from probe_agent.sources.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 5.0
"""Between two lines where the output is no terminal."""
BAR_COLUMNS = 24


class Display:
    """Shows stages one after the other; use it as a context. On a terminal the bar stays below the lines."""

    def __init__(self, console: Console) -> None:
        self._printer = Printer(console)
        self._is_live = console.is_terminal
        self._what = ""
        self._progress: Progress | None = None
        self._over = threading.Event()

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._is_live:
            self._printer.show(self)
        else:
            threading.Thread(target=self._lines, name="progress", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Print what is left, and take the bar away."""
        self._over.set()
        self._printer.close()

    def __rich__(self) -> Table | str:
        """Return the picture of this instant."""
        if self._progress is None:
            return ""
        now = self._progress.snapshot()
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(now.total_bytes, 1), completed=now.done_bytes, width=BAR_COLUMNS)
        grid.add_row(self._what, bar, Text(str(now), no_wrap=True, overflow="ellipsis"))
        return grid

    def stage(self, what: str) -> Progress:
        """Begin a stage; what the progress that is returned is told of is shown."""
        self._what, self._progress = what, Progress()
        return self._progress

    def line(self, text: str, style: str = "") -> None:
        """Print one line, whole, so that it can be copied."""
        self._printer.print(Text(text, style=style), soft_wrap=True)

    def _lines(self) -> None:
        while not self._over.wait(LINE_SECONDS):
            if self._progress:
                self.line(f"{self._what} {self._progress.snapshot()}")
