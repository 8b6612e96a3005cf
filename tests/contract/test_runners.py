"""Runners that die or hang, and a server that is told to stop."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.ollama_server import COUNTING, LOAD_SECONDS, PINNED, OllamaServer, real_ollama, stand_in
from lab.servers import REAL_OLLAMA, wait_until
from tests.contract.test_loading import is_pinned


def kill_runner(server: OllamaServer) -> int:
    """Kill the only runner and see it dead."""
    pid = server.runner()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _state(pid) in "ZX", what="the end of the runner")
    return pid


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def test_a_dead_runner_stays_listed(server: OllamaServer) -> None:
    """A runner killed while idle goes on being listed: /api/ps is no witness."""
    server.load(keep_alive=-1)
    kill_runner(server)
    assert is_pinned(server.loaded())


def test_the_next_request_restarts_a_dead_runner(server: OllamaServer) -> None:
    """An empty load is enough to start a new runner; the pin is lost unless it carries keep_alive."""
    server.load(keep_alive=-1)
    dead = kill_runner(server)
    assert server.load()["done_reason"] == "load"
    assert server.runner() != dead
    assert not is_pinned(server.loaded())
    kill_runner(server)
    server.load(keep_alive=-1)
    assert is_pinned(server.loaded())


def test_a_native_stream_ends_with_an_error_line(server: OllamaServer) -> None:
    """A native stream whose runner dies ends with an error in JSON, under status 200."""
    server.load()
    with server.counting(2000) as lines:
        kill_runner(server)
        *_, last = lines
    assert set(last) == {"error"}


def test_an_openai_stream_just_ends(server: OllamaServer) -> None:
    """A /v1 stream whose runner dies ends cleanly, with neither an error nor [DONE]."""
    server.load()
    body = {"model": PINNED, "prompt": COUNTING, "max_tokens": 1000, "temperature": 0, "stream": True}
    with server.http.stream("POST", "/v1/completions", json=body, timeout=LOAD_SECONDS) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("data: {")
        kill_runner(server)
        rest = [line for line in lines if line]
    assert "data: [DONE]" not in rest
    assert not any("error" in line for line in rest)


def test_a_hung_runner(server: OllamaServer) -> None:
    """A hung runner shows neither in /api/version nor in /api/ps; a load replaces it in the end."""
    server.load(keep_alive=-1)
    with server.hung_runner() as pid:
        assert server.http.get("/api/version", timeout=LOAD_SECONDS).status_code == 200
        assert is_pinned(server.loaded())
        assert server.runner() == pid
        assert server.load()["done_reason"] == "load"
        assert server.runner() != pid
    assert not is_pinned(server.loaded())


@pytest.mark.parametrize("kind", ["stand-in", "ollama"])
def test_sigterm_cuts_everything(kind: str, tmp_path: Path) -> None:
    """SIGTERM ends the server at once with status 0: a stream is cut without its last line, no runner is left."""
    if kind == "ollama" and REAL_OLLAMA is None:
        pytest.skip("no real Ollama: set OLLAMA_BIN")
    start = stand_in(tmp_path) if REAL_OLLAMA is None or kind == "stand-in" else real_ollama(tmp_path, REAL_OLLAMA)
    with start as server:
        server.load()
        runner = server.runner()
        received: list[dict[str, Any]] = []
        with server.counting(2000) as lines:
            status = server.process.terminate()
            with pytest.raises(httpx.RemoteProtocolError):
                received.extend(lines)
        assert status == 0
        assert not any(line["done"] for line in received)
        wait_until(lambda: _state(runner) in "ZX", what="the end of the runner")
