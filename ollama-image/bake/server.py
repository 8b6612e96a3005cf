"""The Ollama of the build: started on loopback, waited for, stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from bake.api import LOOPBACK, Api
from bake.errors import BakeError

# Longest wait for the API: it takes 0.3 s, more where drivers are looked for on a busy builder.
START_SECONDS = 120.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.1
LOG_LINES = 15


class Server:
    """`ollama serve` with the store under `work`; a context manager that leaves no process behind."""

    def __init__(self, ollama: str, work: Path, flags: Mapping[str, str]) -> None:
        self.store, self.cache, self.runtime = work / "store", work / "prompt-cache", work / "runtime"
        for folder in (self.store, self.cache, self.runtime):
            folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            self.api = Api("ollama", probe.getsockname()[1])
        self._ollama = ollama
        self._log = work / "ollama.log"
        self._environ = {
            **os.environ,
            **flags,
            "HOME": str(work),
            "OLLAMA_HOST": f"{LOOPBACK}:{self.api.port}",
            "OLLAMA_MODELS": str(self.store),
            "OLLAMA_KEEP_ALIVE": "-1",
            "OLLAMA_NOPRUNE": "1",
            # Else it asks ollama.com for what it recommends.
            "OLLAMA_NO_CLOUD": "1",
            "PROMPT_CACHE_DIR": str(self.cache),
            "RUNTIME_DIR": str(self.runtime),
        }

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 — our own setting
                    [self._ollama, "serve"], env=self._environ, stdout=log, stderr=log, start_new_session=True
                )
            except OSError as error:
                raise BakeError("ollama", "start", error, "check OLLAMA_IMAGE") from error
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stop()
        if kind is not None:
            self._show_log()

    def runner(self) -> tuple[Api, tuple[str, ...]]:
        """Return the loaded model's runner and the lines of its record; raises `BakeError` without the wrapper."""
        records = sorted((self.runtime / "runners").glob("[0-9]*"), key=lambda path: path.stat().st_mtime_ns)
        if not records:
            why = "llama-server left no record of its flags"
            raise BakeError("runner", "record", why, "install llama-server.sh in its place, or set PROMPT_CACHE=0")
        lines = records[-1].read_text(encoding="utf-8").splitlines()
        return Api("runner", int(records[-1].name)), tuple(lines)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None:
                self._show_log()
                why = f"it ended with status {self._process.returncode}"
                raise BakeError("ollama", "start", why, "look at the server's lines above")
            with suppress(BakeError):
                self.api.get("/api/version")
                return
            if time.monotonic() > deadline:
                self._show_log()
                why = f"its API did not answer within {START_SECONDS:.0f} s"
                raise BakeError("ollama", "start", why, "look at the server's lines above")
            time.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        # The runners are in the group too, and outlive a server that was killed.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def _show_log(self) -> None:
        # Without its routes, which push the lines that matter out of the last ones.
        text = self._log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in text.splitlines() if not line.startswith("[GIN-debug]")]
        sys.stderr.write("".join(f"  ollama| {line[:300]}\n" for line in lines[-LOG_LINES:]))
