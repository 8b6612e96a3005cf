"""What is measured against: a real Ollama where there is one, else the stand-in; either with a witness.

The witness of both is the server itself: the line that it writes when it has answered a request.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lab.process import LOOPBACK, Line, Running
from ops import local_store
from ops.smollm2 import NAME
from ops.standin.wire import duration_seconds
from ops.up import runtime

MODEL = NAME
# As service.yaml pins it, and the small model's trained context.
NUM_CTX = 8192
# Gin's access log, a line at each answer: [GIN] DATE - TIME | 200 | 1.2s | 127.0.0.1 | POST "/api/generate"
GIN = re.compile(r'\[GIN\].*\|\s*(\d{3})\s*\|\s*(\S+)\s*\|.*\|\s*(GET|HEAD|POST|DELETE)\s+"([^"]*)"')
# Of lab.measuring.witnessed_standin, which knows the instants better than the reader of its output.
WITNESSED = re.compile(r"answered (\d{3}) (GET|HEAD|POST|DELETE) (\S+) ([\d.]+) ([\d.]+)")


class Answer(NamedTuple):
    """A request that the server answered: when it was answered, and when the server got it."""

    at: float
    asked: float
    status: int
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Server:
    """How to start the server; `description` says what it is."""

    description: str
    command: tuple[str, ...]
    environ: dict[str, str]

    def on(self, port: int) -> Running:
        """Return the server as a process that listens on `port` of loopback."""
        return Running(self.command, {**self.environ, "OLLAMA_HOST": f"{LOOPBACK}:{port}"})


def choose(folder: Path) -> Server:
    """Return the server that this machine has, its store prepared under `folder`."""
    binary = runtime.find_ollama(os.environ)
    if binary is None:
        return standin()
    store = local_store.bundled_store(binary, NUM_CTX, {"XDG_CACHE_HOME": str(folder)})
    # Nothing of the operator's own server may have a part in it: models, keys, keep_alive, parallel slots.
    environ = {name: "" for name in os.environ if name.startswith("OLLAMA_")}
    environ |= {"OLLAMA_MODELS": str(store), "HOME": str(folder), "OLLAMA_NO_CLOUD": "1", "OLLAMA_NOPRUNE": "1"}
    # "real Ollama 0.32.15 (/path)": the path is this machine's business.
    return Server(runtime.ollama(binary).description.partition(" (/")[0], (binary, "serve"), environ)


def standin(*, scripted: bool = False, models: Sequence[str] = (MODEL,)) -> Server:
    """Return the stand-in with a witness, over llama.cpp, or over a script that serves any `models`."""
    options = ["--scripted", *models] if scripted else []
    command = (sys.executable, "-m", "lab.measuring.witnessed_standin", *options)
    return Server(f"stand-in, {'scripted' if scripted else 'over llama.cpp'}", command, {})


def answer(line: Line) -> Answer | None:
    """Read a line of a server's output: an answer, or None."""
    if found := WITNESSED.search(line.text):
        return Answer(float(found[5]), float(found[4]), int(found[1]), found[2], found[3])
    if found := GIN.search(line.text):
        took = duration_seconds(found[2])
        return Answer(line.at, line.at - took, int(found[1]), found[3], found[4])
    return None


def answers(server: Running, since: int) -> list[Answer]:
    """Every answer that the server has told of in its lines from number `since` on, in order."""
    return [found for line in server.lines[since:] if (found := answer(line))]
