"""A small process that ends containers and removes folders when `ops up` itself was killed.

Run as a file, without this package: it starts in some 20 ms. It reads what to keep from its standard input, one line
each, and acts when that ends without `done`: the kernel closes the pipe however `ops up` dies.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

DONE = "done"


class Keeper:
    """The keeper of one run; use it as a context."""

    def __enter__(self) -> Self:
        """Start it, out of reach of the terminal's signals."""
        self._process = subprocess.Popen(  # noqa: S603 — this very file
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Let it end: the run has cleaned up."""
        self._say(DONE)
        with contextlib.suppress(OSError):
            self._process.communicate()

    def group(self, pid: int) -> None:
        """Kill this process group if `ops up` is killed."""
        self._say(f"group {pid}")

    def ended(self, pid: int) -> None:
        """Forget a process group; its number may be given to another one."""
        self._say(f"ended {pid}")

    def folder(self, path: Path) -> None:
        """Remove this folder if `ops up` is killed."""
        self._say(f"folder {path}")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None, "a pipe was asked for"  # noqa: S101 — for the type checker
        with contextlib.suppress(OSError):  # somebody killed the keeper
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


def main() -> None:
    """Read until the end of the input; then clean up, unless the last line was `done`."""
    groups: set[int] = set()
    folders: list[str] = []
    for line in sys.stdin:
        verb, _, what = line.rstrip("\n").partition(" ")
        if verb == DONE:
            return
        if verb == "folder":
            folders.append(what)
        elif verb == "group":
            groups.add(int(what))
        else:
            groups.discard(int(what))
    for group in groups:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
