"""The server of known latency and capacity, as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[1]


class KnownServer:
    """`python -m lab.known_server` with the given options; `url` is its address. Use it as a context."""

    def __init__(self, **options: object) -> None:
        given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        self._command = [sys.executable, "-m", "lab.known_server", *given]
        self.url = ""

    def __enter__(self) -> Self:
        """Return once it listens."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the server ended at once"
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(10)
        if self._process.stdout:
            self._process.stdout.close()
