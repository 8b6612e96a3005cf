"""The agent as it is deployed: a process, its endpoints, its signals."""

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from lab.agent import QUICK, AgentProcess
from lab.servers import LoopbackServer, closed_port, free_port, wait_until
from ops.standin import Hang, ScriptedEngine, ServedModel, StandIn, Status


@pytest.fixture
def app() -> StandIn:
    """Make a server that behaves, with one model `m`."""
    model = ServedModel("m", num_ctx=2048, trained_context=8192)
    return StandIn(models=[model], engine=ScriptedEngine(load_seconds=0.02), context_length=2048)


@pytest.fixture
def url(app: StandIn) -> Iterator[str]:
    """Run it."""
    with LoopbackServer(app) as address:
        yield address


def test_every_check_has_two_spellings(url: str) -> None:
    """In READY each check answers 200 under both spellings, and the body says why."""
    with AgentProcess(url) as agent:
        agent.until("READY")
        for path in ("/startup", "/startupz", "/ready", "/readyz", "/health", "/healthz", "/live", "/livez"):
            answer = agent.get(path)
            assert answer.status_code == 200, path
            assert answer.json()["state"] == "READY"
            assert answer.headers["cache-control"] == "no-store"


def test_an_agent_that_waits_says_what_for() -> None:
    """Without Ollama every check but liveness is 503, with state, reason, since when and what to do."""
    with closed_port() as port, AgentProcess(f"http://127.0.0.1:{port}") as agent:
        for path in ("/startup", "/readyz", "/health"):
            answer = agent.get(path)
            assert answer.status_code == 503, path
            assert set(answer.json()) == {"state", "reason", "action", "since", "since_seconds"}
            assert answer.json()["state"] == "UNREACHABLE"
        assert agent.get("/livez").status_code == 200


def test_readiness_falls_while_startup_stays(app: StandIn, url: str) -> None:
    """Startup latches at the first READY; readiness follows the model."""
    with AgentProcess(url) as agent:
        agent.until("READY")
        app.faults.on("*", Hang())
        wait_until(lambda: agent.get("/ready").status_code == 503, what="not ready")
        assert agent.get("/startup").status_code == 200
        app.faults.clear()
        agent.until("READY")


def test_status_metrics_and_page_are_there(url: str) -> None:
    """The JSON, the Prometheus text and the page answer, and the page needs nothing from elsewhere."""
    with AgentProcess(url) as agent:
        agent.until("READY")
        status = agent.get("/status").json()
        assert status["models"][0]["context_length"] == 2048
        assert status["waterfall"]["gap_seconds"] > 0
        metrics = agent.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "probe_agent_ready 1.0" in metrics.text
        page = agent.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "http://" not in page.text
        assert "https://" not in page.text


def test_an_unknown_path_names_the_known_ones(url: str) -> None:
    """A wrong path or verb gets JSON that says which requests there are."""
    with AgentProcess(url) as agent:
        assert "/healthz" in agent.get("/nothing").json()["action"]
        assert httpx.post(f"{agent.url}/ready", timeout=5).status_code == 405


def test_a_held_probe_is_answered_the_moment_the_model_is_ready(app: StandIn, url: str) -> None:
    """A probe that comes early waits, and gets its 200 from the same request."""
    app.faults.on("/api/tags", Hang())
    with AgentProcess(url, STARTUP_HOLD_SECONDS="20") as agent, ThreadPoolExecutor(64) as pool:
        probes = [pool.submit(agent.get, "/startupz", 20) for _ in range(64)]
        wait_until(lambda: "probe_agent_held_probes 64.0" in agent.get("/metrics").text, what="64 held probes")
        app.faults.clear()
        assert {probe.result().status_code for probe in probes} == {200}
        assert "probe_agent_held_probes 0.0" in agent.get("/metrics").text


def test_a_held_probe_ends_with_its_hold() -> None:
    """When the hold ends before READY, the probe gets its 503 with the reason."""
    with closed_port() as port, AgentProcess(f"http://127.0.0.1:{port}", STARTUP_HOLD_SECONDS="0.3") as agent:
        began = time.monotonic()
        answer = agent.get("/startup")
        assert answer.status_code == 503
        assert time.monotonic() - began >= 0.3


def test_a_failed_agent_holds_nobody(app: StandIn, url: str) -> None:
    """When no retry can help, a held probe is refused at once."""
    with AgentProcess(url, STARTUP_HOLD_SECONDS="20", MODEL_DIGEST="ab" * 32) as agent:
        answer = agent.get("/startup", timeout=10)
        assert answer.status_code == 503
        assert answer.json()["state"] == "FAILED"
    assert isinstance(app.engine, ScriptedEngine)
    assert app.engine.starts == []


def test_a_prober_that_hangs_up_is_forgotten() -> None:
    """A held probe whose connection closes is no longer held."""
    with closed_port() as port, AgentProcess(f"http://127.0.0.1:{port}", STARTUP_HOLD_SECONDS="60") as agent:
        with socket.create_connection(("127.0.0.1", agent.port)) as probe:
            probe.sendall(b"GET /startup HTTP/1.1\r\nHost: a\r\n\r\n")
            wait_until(lambda: "probe_agent_held_probes 1.0" in agent.get("/metrics").text, what="the held probe")
        wait_until(lambda: "probe_agent_held_probes 0.0" in agent.get("/metrics").text, what="no held probe")


STOPS = {
    "UNREACHABLE": ("*", Hang()),
    "VERIFYING": ("/api/tags", Hang()),
    "LOADING": ("/api/generate", Hang()),
    "WARMING": ("/api/chat", Hang()),
    "READY": (None, None),
    "FAILED": ("/api/generate", Hang()),
}


@pytest.mark.parametrize("state", STOPS)
def test_sigterm_ends_every_state_at_once(app: StandIn, url: str, state: str) -> None:
    """SIGTERM ends the agent with status 0, whatever it waits for and however long it would; held probes are let go."""
    path, fault = STOPS[state]
    if path is not None and fault is not None:
        app.faults.on(path, fault)
    digest = {"MODEL_DIGEST": "ab" * 32} if state == "FAILED" else {}
    slow = {"TIMEOUT_SECONDS": "60", "PERIOD_SECONDS": "60"}
    with AgentProcess(url, STARTUP_HOLD_SECONDS="60", **slow, **digest) as agent:
        agent.until(state)
        held: list[httpx.Response] = []
        prober = threading.Thread(target=lambda: held.append(agent.get("/startup", timeout=30)))
        prober.start()
        if state in {"READY", "FAILED"}:
            prober.join(5)
        else:
            wait_until(lambda: "probe_agent_held_probes 1.0" in agent.get("/metrics").text, what="the held probe")
        assert agent.terminate() == 0
        prober.join(5)
        assert held[0].status_code == (200 if state == "READY" else 503)
        assert "SIGTERM received" in agent.log


class ElsewhereSignalled(AgentProcess):
    """An agent whose signals arrive in another thread, where they interrupt nothing that the main thread waits for."""

    _main = (
        "import signal, sys, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
        "from probe_agent.__main__ import main\n"
        "sys.exit(main([]))"
    )
    command = (sys.executable, "-c", _main)


def test_a_signal_that_interrupts_no_wait_is_heard(app: StandIn, url: str) -> None:
    """SIGTERM ends an idle agent even when its event loop sleeps on, as it does when the signal comes just before."""
    app.faults.on("*", Hang())
    with ElsewhereSignalled(url, TIMEOUT_SECONDS="60", PERIOD_SECONDS="60") as agent:
        agent.until("UNREACHABLE")
        assert agent.terminate() == 0


def test_a_second_signal_changes_nothing(url: str) -> None:
    """Signals that follow the first one do no harm."""
    with AgentProcess(url) as agent:
        agent.until("READY")
        for _ in range(3):
            agent.process.send_signal(signal.SIGINT)
        assert agent.terminate() == 0


def test_a_taken_port_is_named() -> None:
    """An agent whose port is taken exits with 1 and says which variables to set."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        given = {"PROBE_AGENT_MODEL": "m", "PROBE_AGENT_HOST": "127.0.0.1", "PROBE_AGENT_PORT": port}
        done = _run(given)
    assert done.returncode == 1
    assert "PROBE_AGENT_PORT" in done.stdout


def _run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "probe_agent", *arguments]
    given = {**os.environ, **environ}
    return subprocess.run(command, env=given, capture_output=True, text=True, timeout=20, check=False)


def test_bad_settings_are_told_together_before_anything_starts() -> None:
    """Every bad variable is named at once, with exit status 2."""
    done = _run({"PROBE_AGENT_MODEL": "a b", "PROBE_AGENT_PORT": "x", "PROBE_AGENT_MODLE": "m"})
    assert done.returncode == 2
    for name in ("PROBE_AGENT_MODEL=", "PROBE_AGENT_PORT=", "PROBE_AGENT_MODLE: unknown"):
        assert name in done.stderr


def test_check_tells_ready_not_ready_and_unreachable(app: StandIn, url: str) -> None:
    """`probe-agent check` exits 0, 1 and 2, each with one line for a person."""
    with AgentProcess(url) as agent:
        agent.until("READY")
        port = {"PROBE_AGENT_PORT": str(agent.port)}
        done = _run(port, "check")
        assert (done.returncode, done.stdout[:5]) == (0, "READY")
        app.faults.on("*", Status(500))
        wait_until(lambda: agent.get("/ready").status_code == 503, what="not ready")
        assert _run(port, "check").returncode == 1
    done = _run(port, "check")
    assert done.returncode == 2
    assert "no probe-agent answers" in done.stdout


def test_lines_on_cloud_run_are_structured(url: str) -> None:
    """On Cloud Run each line is JSON with severity, time, labels, and the trace of the probe it tells of."""
    told = {"K_SERVICE": "s", "K_REVISION": "s-00001", "GOOGLE_CLOUD_PROJECT": "p", "LOG_LEVEL": "debug"}
    trace = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    with AgentProcess(url, **told) as agent:
        agent.until("READY")
        httpx.get(f"{agent.url}/ready", headers=trace, timeout=5)
        wait_until(lambda: "WARMING -> READY" in agent.log, 20, "the structured handler")
        agent.terminate()
        lines = [json.loads(line) for line in agent.log.splitlines()]
    ready = next(line for line in lines if "WARMING -> READY" in line.get("message", ""))
    assert ready["severity"] == "INFO"
    assert ready["time"]
    assert ready["logging.googleapis.com/labels"]["K_REVISION"] == "s-00001"
    traced = [line for line in lines if line.get("logging.googleapis.com/trace") == f"projects/p/traces/{'ab' * 16}"]
    assert traced
    assert traced[0]["logging.googleapis.com/trace_sampled"] is True


def test_the_first_line_is_out_at_once() -> None:
    """Regression: an agent killed in its first seconds on Cloud Run, with no probe yet, left no line at all."""
    given = {**os.environ, "K_SERVICE": "s", "PROBE_AGENT_MODEL": "m", "PROBE_AGENT_PORT": str(free_port())}
    command = [sys.executable, "-m", "probe_agent"]
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE) as agent:
        assert agent.stdout is not None
        ready, _, _ = select.select([agent.stdout], [], [], 20)
        agent.kill()
        assert ready
        first = json.loads(agent.stdout.readline())
    assert "starts on" in first["message"]
    assert first["severity"] == "INFO"


def test_an_output_that_nobody_reads_holds_up_nothing(url: str) -> None:
    """Regression: the event loop blocked on a full pipe: no probe was answered, SIGTERM was ignored."""
    reader, writer = os.pipe()
    agent = AgentProcess(url, os.fdopen(writer, "w"), LOG_LEVEL="debug", K_SERVICE="s")
    with agent, httpx.Client(base_url=agent.url, timeout=10) as client:
        capacity = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        for _ in range(2 * capacity // 300):  # bytes of one line at least
            assert client.get("/livez").status_code == 200
        assert agent.terminate() == 0
    os.close(reader)


def test_an_output_that_cannot_be_written_is_no_failure(url: str) -> None:
    """Regression: Python ended with status 120 when the rest of its output could not be written."""
    with AgentProcess(url, Path("/dev/full").open("w")) as agent:
        agent.until("READY")
        assert agent.terminate() == 0
        with Path("/dev/full").open("w") as full:
            check = [sys.executable, "-m", "probe_agent", "check", "--port", str(agent.port)]
            assert subprocess.run(check, stdout=full, timeout=20, check=False).returncode == 2


def test_an_ascii_output_loses_no_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: the line of the cold start was lost where Python takes standard output for ASCII."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with AgentProcess(url) as agent:
        agent.until("READY")
        wait_until(lambda: "cold start" in agent.log, what="the line of the cold start")
        assert not agent.log.isascii()


def test_a_signal_in_the_first_instant_is_obeyed() -> None:
    """Regression: the kernel ignored a SIGTERM that came to process 1 while it was still importing."""
    script = (
        "import os, signal, sys\n"
        "def kill(event, names):\n"
        "    if event == 'import' and names[0] == 'httpx':\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.addaudithook(kill)\n"
        "from probe_agent.__main__ import main\n"
        "sys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_malformed_requests_leave_one_line(url: str) -> None:
    """Regression: each malformed request was a WARNING, some with advice to install a library."""
    with AgentProcess(url) as agent:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", agent.port), timeout=5) as client:
                client.sendall(b"nonsense\r\n\r\n")
                assert client.recv(100).startswith(b"HTTP/1.1 400 ")
        agent.terminate()
        assert agent.log.count("Invalid HTTP request") == 1


def test_the_quick_settings_are_known() -> None:
    """The settings of these tests are variables that the agent knows."""
    assert _run({**QUICK, "PROBE_AGENT_MODEL": ""}).stderr.count("\n") == 2
