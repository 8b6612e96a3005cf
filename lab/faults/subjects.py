"""The servers that are broken and mended: the scripted stand-in as a process, and a real Ollama, in the same words."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from lab.agent import promised
from lab.faults.cells import Proof
from lab.faults.watched import ask
from lab.ollama_server import LOAD_SECONDS, PINNED, PINNED_CONTEXT, OllamaServer, real_ollama
from lab.servers import ServerProcess, wait_until

SCRIPT = Path(__file__).with_name("scripted_server.py")
# Long enough for a reload to be seen by a probe.
SCRIPTED_LOAD_SECONDS = 0.4
# For an answer that needs no load.
ASK_SECONDS = 5.0


class Subject(ABC):
    """A running server with one model. `settings` are the agent's for it.

    `fault_seconds` is longer than what they promise for each state, and not much: there are many cells.
    """

    name: ClassVar[str]
    model: ClassVar[str]
    pinned: ClassVar[str]
    settings: ClassVar[dict[str, str]]
    fault_seconds: ClassVar[float]

    def __init__(self, process: ServerProcess) -> None:
        self.process = process
        self._killed = self._stopped = False

    @property
    def promise(self) -> float:
        """What its agent's settings promise, in seconds."""
        return promised(**self.settings)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.process.port

    def kill(self) -> None:
        """End it with all that belongs to it, as a container ends."""
        self._killed = True
        self.process.__exit__()

    def stop(self) -> None:
        """Let it stand still; the kernel goes on taking connections for it."""
        self._stopped = True
        self.process.process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        """Let it run again, whatever was done to it."""
        if self._killed:
            self.process.__enter__()
        if self._stopped:
            self.process.process.send_signal(signal.SIGCONT)
        self._killed = self._stopped = False

    def loaded(self) -> bool:
        """Whether it lists the model as loaded."""
        return bool(ask(self.port, "/api/ps", ASK_SECONDS)[1].get("models"))

    def unload(self) -> None:
        """Unload the model, and see it gone."""
        ask(self.port, "/api/generate", LOAD_SECONDS, {"model": self.model, "keep_alive": 0})
        wait_until(lambda: not self.loaded(), LOAD_SECONDS, "an empty /api/ps")

    def serves(self) -> bool:
        """Whether a client gets a token, of the model as it is pinned."""
        body = {"model": self.model, "prompt": "Hi", "stream": False, "options": {"num_predict": 1, "num_ctx": 2048}}
        status, answer = ask(self.port, "/api/generate", ASK_SECONDS, body)
        return status == 200 and bool(answer.get("eval_count"))

    def proof(self) -> Proof:
        """Return what the server shows of its model; first what loads nothing, for a request would mend what is not."""
        listed, before = self.loaded(), self.runners()
        answered = self.serves()
        return Proof(listed, answered, reloaded=not before & self.runners())

    @abstractmethod
    def runners(self) -> frozenset[int]:
        """Return what tells one runner from the one after it."""

    @abstractmethod
    def runner(self, what: str) -> None:
        """Do something to the model's runner: kill, hang, resume; one that is not there is left in peace."""


class Scripted(Subject):
    """The stand-in without a model; its runner is no process, and is told what a signal would do."""

    name = "scripted stand-in"
    model = "m"
    pinned = "m@2048"
    settings: ClassVar[dict[str, str]] = {}
    fault_seconds = 1.6

    def runner(self, what: str) -> None:
        """Tell the script."""
        ask(self.port, "/script", ASK_SECONDS, {"runner": what})

    def runners(self) -> frozenset[int]:
        """Count the loads."""
        return frozenset({ask(self.port, "/script", ASK_SECONDS, {})[1]["loads"]})


class Real(Subject):
    """A real Ollama with a small model; its runner is its child."""

    name = "Ollama"
    model = PINNED
    pinned = f"{PINNED}@{PINNED_CONTEXT}"
    settings: ClassVar[dict[str, str]] = {
        "PERIOD_SECONDS": "0.5",
        "TIMEOUT_SECONDS": "0.5",
        "STARTUP_TIMEOUT_SECONDS": "60",
    }
    fault_seconds = 3.2

    def __init__(self, subject: OllamaServer) -> None:
        super().__init__(subject.process)
        self.name = f"Ollama {subject.version}"  # type: ignore[misc]
        self._subject = subject

    def runner(self, what: str) -> None:
        """Send the signal."""
        number = {"kill": signal.SIGKILL, "hang": signal.SIGSTOP, "resume": signal.SIGCONT}[what]
        for pid in self._subject.runners():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def runners(self) -> frozenset[int]:
        """Return the process ids of Ollama's children."""
        return frozenset(self._subject.runners())


@contextlib.contextmanager
def scripted(home: Path, digest: str, load_seconds: float = SCRIPTED_LOAD_SECONDS) -> Iterator[Subject]:
    """Run the scripted stand-in, its model with the given digest."""
    process = ServerProcess([], home)
    process._command += [sys.executable, str(SCRIPT), str(process.port), digest, str(load_seconds)]
    with process:
        yield Scripted(process)


@contextlib.contextmanager
def real(home: Path, binary: str) -> Iterator[Subject]:
    """Run a real Ollama that stores the small model."""
    with real_ollama(home, binary) as subject:
        yield Real(subject)
