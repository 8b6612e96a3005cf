"""A server under test: the stand-in or a real Ollama, asked in the same words."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from lab.servers import NO_TLS, RealOllama, ServerProcess, StandInProcess, wait_until
from ops import smollm2

# Two tags of one blob; the first has PARAMETER num_ctx 2048 in its Modelfile, the second has none.
PINNED, PLAIN = "pinned", "plain"
PINNED_CONTEXT, DEFAULT_CONTEXT, TRAINED_CONTEXT = 2048, 1024, 8192
# A prompt that the model, asked greedily and without a template, goes on with for ever.
COUNTING = "Count: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"
# Of the weights that Ollama 0.32.15 stores when the small model's file is imported: its SHA-256, not the file's.
IMPORTED_WEIGHTS = "941f309b54caaad6747569ba43712bcde44a2be3bae16c3282ff499c37c54af5"
ENVIRON = {
    "OLLAMA_CONTEXT_LENGTH": str(DEFAULT_CONTEXT),
    "OLLAMA_KEEP_ALIVE": "10m",
    "OLLAMA_NUM_PARALLEL": "1",
    "OLLAMA_MAX_LOADED_MODELS": "1",
    "OLLAMA_MAX_QUEUE": "1",
    # llama.cpp's threads wait for each other spinning: on a busy machine two are far slower than one.
    "LLAMA_ARG_THREADS": "1",
    # Ollama gives a runner twice ten seconds; the suite has not so much patience with both.
    "OLLAMA_STANDIN_PING_TIMEOUT": "1s",
}
# Longest wait for an answer that needs a load: half a second alone, much more on a busy machine.
LOAD_SECONDS = 60.0


class OllamaServer:
    """One running server with the two models stored."""

    def __init__(self, process: ServerProcess, http: httpx.Client) -> None:
        self.process = process
        self.http = http
        self.version = str(self.http.get("/api/version").json()["version"])

    @property
    def release(self) -> tuple[int, ...]:
        """The version as numbers, for what differs between versions."""
        return tuple(int(part) for part in self.version.split("-")[0].split("."))

    def post(self, path: str, **body: Any) -> httpx.Response:
        """POST a JSON object."""
        return self.http.post(path, json=body)

    def load(self, model: str = PINNED, **fields: Any) -> dict[str, Any]:
        """Load a model without a prompt, and return the answer."""
        response = self.post("/api/generate", model=model, **fields)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def ps(self) -> list[dict[str, Any]]:
        """Return what is loaded."""
        models: list[dict[str, Any]] = self.http.get("/api/ps").json()["models"]
        return models

    def loaded(self) -> dict[str, Any]:
        """Return the only loaded model."""
        (entry,) = self.ps()
        return entry

    def unload(self) -> None:
        """Unload everything, and see it gone."""
        for entry in self.ps():
            self.load(entry["model"], keep_alive=0)
        wait_until(lambda: not self.ps(), LOAD_SECONDS, "an empty /api/ps")

    def runner(self) -> int:
        """Return the process id of the only runner."""
        (pid,) = self.runners()
        return pid

    def runners(self) -> list[int]:
        """Return the process ids of the children of the server."""
        tasks = Path(f"/proc/{self.process.process.pid}/task").glob("*/children")
        return [int(pid) for task in tasks for pid in task.read_text().split()]

    @contextlib.contextmanager
    def hung_runner(self) -> Iterator[int]:
        """Stop the runner with SIGSTOP, and let it go on at the end if it is still there."""
        pid = self.runner()
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def counting(self, tokens: int, *, model: str = PINNED) -> Iterator[Iterator[dict[str, Any]]]:
        """Stream a long native answer; yields its lines from the first one on."""
        options = {"temperature": 0, "num_predict": tokens}
        body = {"model": model, "prompt": COUNTING, "raw": True, "options": options}
        url = f"{self.process.url}/api/generate"
        with httpx.stream("POST", url, json=body, timeout=LOAD_SECONDS, verify=NO_TLS) as response:
            lines = (json.loads(line) for line in response.iter_lines() if line)
            assert next(lines)["response"]
            yield lines


@contextlib.contextmanager
def stand_in(home: Path) -> Iterator[OllamaServer]:
    """Run the stand-in over llama.cpp."""
    path = str(smollm2.gguf_path())
    models = [{"name": PINNED, "path": path, "num_ctx": PINNED_CONTEXT}, {"name": PLAIN, "path": path}]
    environ = ENVIRON | {"OLLAMA_STANDIN_MODELS": json.dumps(models)}
    with StandInProcess(home, environ) as process, _asked(process) as subject:
        yield subject


@contextlib.contextmanager
def real_ollama(home: Path, binary: str) -> Iterator[OllamaServer]:
    """Run a real Ollama, and store the models through its API."""
    with RealOllama(home, binary, ENVIRON) as process, _asked(process) as subject:
        _store_models(subject)
        yield subject


@contextlib.contextmanager
def _asked(process: ServerProcess) -> Iterator[OllamaServer]:
    with httpx.Client(base_url=process.url, timeout=LOAD_SECONDS, verify=NO_TLS) as http:
        yield OllamaServer(process, http)


def _store_models(subject: OllamaServer) -> None:
    path = smollm2.gguf_path()
    content = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    subject.http.post(f"/api/blobs/{digest}", content=content).raise_for_status()
    # LLAMA_ARG_THREADS does not reach the runner of an Ollama before 0.30.
    threads = {"num_thread": 1}
    parameters = {PINNED: threads | {"num_ctx": PINNED_CONTEXT}, PLAIN: threads}
    for name, asked in parameters.items():
        body = {"model": name, "files": {path.name: digest}, "parameters": asked, "stream": False}
        subject.post("/api/create", **body).raise_for_status()
