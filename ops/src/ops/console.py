"""The console, written to from a thread of its own: a reader that stands still stops neither probes nor Ctrl-C."""

from __future__ import annotations

import codecs
import contextlib
import io
import queue
import sys
import threading
from collections.abc import Callable
from typing import Never

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

# Lines that may wait to be written; what containers print beyond is dropped and counted. Bounds the memory.
LINES = 2000
# Between two pictures of the live display.
REFRESH_SECONDS = 0.125
# For what is still to be written at the end; a reader that stands still does not keep the command from ending.
CLOSE_SECONDS = 2.0
PLAIN_WIDTH = 120
# What stands for our characters on a terminal without Unicode; any other becomes a question mark.
PLAIN = "ops-plain"
# Columns where the output is no terminal, such as a log of a build.
PLAIN_FORMS = {
    "✔": "+",
    "●": "*",
    "·": "-",
    "━": "=",
    "╸": "-",
    "│": "|",
    "─": "-",
    "…": "~",
    **dict.fromkeys("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "*"),
}


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)  # noqa: S101 — this handler is for writing
    text = error.object[error.start : error.end]
    return "".join(PLAIN_FORMS.get(each, "?") for each in text), error.end


codecs.register_error(PLAIN, _plain)


class OutputConsole(Console):
    """A console that tells of a reader who left, instead of ending the process and leaving containers behind."""

    def on_broken_pipe(self) -> Never:
        """Let the printer take it like any other output that cannot be written to."""
        raise BrokenPipeError


def standard_output() -> Console:
    """Return the console of the process's own output.

    It writes past the buffer of `sys.stdout`: a thread that stands still in a write would hold that buffer's
    lock, which Python wants at its exit. A character that the terminal's encoding lacks is replaced by a plain one.
    """
    raw = io.FileIO(sys.stdout.fileno(), "w", closefd=False)
    # Written through, the text layer asks no more of what is below than `write`.
    file = io.TextIOWrapper(raw, sys.stdout.encoding, errors=PLAIN, write_through=True)
    console = OutputConsole(file=file, highlight=False)
    return console if console.is_terminal else OutputConsole(file=file, highlight=False, width=PLAIN_WIDTH)


class Printer:
    """Prints in order. Output that cannot be written to (closed, full) is reported once, then left alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._live: Live | None = None
        self._dropped = 0
        self._gone = threading.Event()
        self._told: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._run, name="printer", daemon=True)
        self._thread.start()

    def print(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        """Print; never waits."""
        self._queue.put(lambda: self._console.print(what, soft_wrap=soft_wrap))

    def output(self, line: Text) -> None:
        """Print a line of which there may be too many; what is dropped is counted."""
        if self._queue.qsize() < LINES:
            if self._dropped:
                self.print(Text(f"({self._dropped} lines of output not shown: too many at once)", "dim"))
                self._dropped = 0
            self.print(line, soft_wrap=True)
        else:
            self._dropped += 1

    def show(self, live: RenderableType) -> None:
        """Keep a picture below the lines, where the console is a terminal."""
        if self._console.is_terminal:
            self._queue.put(lambda: self._begin(live))

    def when_gone(self, told: Callable[[], object]) -> None:
        """Call this, in any thread, once the output cannot be written to; at once where that is so already."""
        self._told = told
        if self._gone.is_set():
            told()

    def close(self) -> None:
        """Write what is left, for at most `CLOSE_SECONDS`, and end the live display."""
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        try:
            while work := self._next():
                work()
            if self._live:
                self._live.stop()
        except (OSError, UnicodeError):  # a terminal that was closed, a full disk, a reader that left
            self._gone.set()
            self._told()

    def _next(self) -> Callable[[], None] | None:
        if self._live:
            with contextlib.suppress(queue.Empty):
                return self._queue.get(timeout=REFRESH_SECONDS)
            return self._live.refresh
        return self._queue.get()

    def _begin(self, picture: RenderableType) -> None:
        self._live = Live(
            picture,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)
