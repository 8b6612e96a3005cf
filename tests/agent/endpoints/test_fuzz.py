"""Every endpoint under everything that its OpenAPI document allows, and much that it does not."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lab.agent import AgentProcess
from lab.servers import LoopbackServer, closed_port, wait_until
from ops.standin import ScriptedEngine, ServedModel, StandIn
from probe_agent.endpoints.paths import PATHS
from probe_agent.readiness.states import ReadinessState

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.yaml"
KNOWN = [path for spellings in PATHS.values() for path in spellings] + ["/status", "/metrics", "/"]
FUZZED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LATIN = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=300)
schema = schemathesis.openapi.from_path(DOCUMENT)


@pytest.fixture(scope="module", params=["ready", "waiting", "holding"])
def agent(request: pytest.FixtureRequest) -> Iterator[AgentProcess]:
    """A real agent: READY, or waiting for an Ollama that is not there, or that and holding the startup probes."""
    app = StandIn(models=[ServedModel("m", num_ctx=2048)], engine=ScriptedEngine(), context_length=2048)
    ready = request.param == "ready"
    hold = {"STARTUP_HOLD_SECONDS": "0.02"} if request.param == "holding" else {}
    with LoopbackServer(app) as url, closed_port() as closed:
        address = url if ready else f"http://127.0.0.1:{closed}"
        with AgentProcess(address, **hold) as process:
            process.until("READY" if ready else "UNREACHABLE")
            yield process
            assert process.process.poll() is None, process.log
            wait_until(lambda: "probe_agent_held_probes 0.0" in process.get("/metrics").text, what="no held probe")


@schema.parametrize()
@settings(FUZZED, max_examples=20)
def test_answers_are_as_documented(case: schemathesis.Case[Any], agent: AgentProcess) -> None:
    """Status, headers and body are the document's, other methods are refused with those that there are."""
    # A 503 is what a check of a model that does not answer is for; a 500 is in no list of the document's.
    excluded: list[Any] = [schemathesis.checks.not_a_server_error]
    case.call_and_validate(base_url=agent.url, timeout=10, excluded_checks=excluded)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "DELETE", "OPTIONS"]) | st.from_regex(r"[A-Z]{1,12}", fullmatch=True),
    st.sampled_from(KNOWN) | LATIN.map("/".__add__),
    st.lists(st.tuples(st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), LATIN), max_size=5),
    st.binary(max_size=2000),
)
@example("GET", "/startup", [("traceparent", "00-" + "f" * 200)], b"")
@example("GET", "/" + "a" * 70_000, [], b"")
@example("GET", "/status", [("X", "y" * 70_000)], b"")
@example("POST", "/startup", [("Content-Length", "-1")], b"x")
@settings(FUZZED, max_examples=150)
def test_any_request_gets_an_answer_that_is_no_fault(
    agent: AgentProcess, method: str, path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    """Any method, path, headers and body: an answer that is not the agent's fault, or a closed connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: agent", "Connection: close", *(f"{n}: {v}" for n, v in headers)]
    status = send(agent.port, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    assert status is None or status < 500 or status == 503
    assert agent.get("/livez").status_code == 200


@given(st.binary(max_size=3000))
@example(b"GET /startup HTTP/1.1\r\n")
@example(b"\x16\x03\x01\x02\x00")
@settings(FUZZED, max_examples=100)
def test_any_bytes_leave_the_agent_alive(agent: AgentProcess, sent: bytes) -> None:
    """What is no HTTP at all costs its own connection, and nobody else's answer."""
    send(agent.port, sent)
    assert agent.get("/livez").status_code == 200


def send(port: int, content: bytes) -> int | None:
    """Send bytes and close; return the status of the answer, None where there is none."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while b"\r\n" not in answer and (part := connection.recv(4096)):
            answer += part
        if found := re.match(rb"HTTP/1\.1 (\d{3}) ", answer):
            return int(found[1])
    return None


def test_the_document_is_of_the_agents_paths_and_states() -> None:
    """Paths and states are the code's, all of them and no others."""
    document: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    assert list(document["paths"]) == KNOWN
    assert document["components"]["schemas"]["State"]["enum"] == list(ReadinessState)
