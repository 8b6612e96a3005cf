"""`probe-agent check`: one question to a running agent, one line, one exit status."""

import json
from collections.abc import Callable

import pytest

from probe_agent.check import NOT_READY, READY, UNREACHABLE, check
from tests.agent.conftest import Answer, http_answer

BODY = {"state": "LOADING", "since_seconds": 12.4, "reason": "loading smollm2@8192", "action": "Nothing: wait."}
LINE = "LOADING for 12 s: loading smollm2@8192. Nothing: wait."
Loopback = Callable[[Answer], int]


def test_the_exit_statuses_are_the_documented_ones() -> None:
    """Scripts depend on 0 ready, 1 not ready, 2 unreachable."""
    assert (READY, NOT_READY, UNREACHABLE) == (0, 1, 2)


@pytest.mark.parametrize(("code", "status"), [(200, READY), (503, NOT_READY)])
def test_the_answer_decides(loopback: Loopback, code: int, status: int) -> None:
    """The agent's status code decides, and its body is the line for people."""
    port = loopback(lambda _path, _headers: http_answer(code, json.dumps(BODY).encode()))

    assert check(port) == (status, LINE)


def test_readiness_is_asked_for(loopback: Loopback) -> None:
    """The question goes to the readiness endpoint, in the spelling that every platform leaves alone."""
    asked: list[str] = []

    def answer(path: str, _headers: object) -> bytes:
        asked.append(path)
        return http_answer(200, json.dumps(BODY).encode())

    check(loopback(answer))

    assert asked == ["/ready"]


def test_nobody_there_is_unreachable(closed_port: int) -> None:
    """A refused connection is reported with the address and the system's words."""
    status, line = check(closed_port)

    assert status == UNREACHABLE
    assert line.startswith(f"no probe-agent answers at 127.0.0.1:{closed_port}: ")
    assert "refused" in line


def test_a_silent_server_is_unreachable(silent_port: int) -> None:
    """A server that takes the connection and says nothing is given up after the time-out, and what to do is said."""
    status, line = check(silent_port, timeout=0.05)

    assert status == UNREACHABLE
    assert line.startswith(f"no probe-agent answers at 127.0.0.1:{silent_port}: timed out. Start it, or ")


@pytest.mark.parametrize("host", ["exa mple", "a" * 70, "127.0.0.1\n"])
def test_an_impossible_host_is_unreachable(host: str) -> None:
    """A host that can be none is reported with its address, and is not taken for an agent that is not ready."""
    status, line = check(9, host)

    assert status == UNREACHABLE
    assert f"{host}:9" in line
    assert "is not a probe-agent" not in line


@pytest.mark.parametrize(
    "answer",
    [b"220 mail ready\r\n", b"", http_answer(200, json.dumps(BODY).encode())[:-5]],
    ids=["no HTTP", "nothing", "cut short"],
)
def test_a_broken_answer_is_unreachable(loopback: Loopback, answer: bytes) -> None:
    """An answer that is no whole HTTP answer means that no agent answers, and says why."""
    status, line = check(loopback(lambda _path, _headers: answer))

    assert status == UNREACHABLE
    assert line.startswith("no probe-agent answers at ")
    assert not line.endswith(": ")


@pytest.mark.parametrize(
    "body",
    [
        b"<html>It works!</html>",
        b"\xff",
        b"[]",
        b"null",
        b"{}",
        json.dumps({**BODY, "since_seconds": None}).encode(),
        json.dumps({**BODY, "since_seconds": "long"}).encode(),
    ],
)
def test_something_else_there_is_no_agent(loopback: Loopback, body: bytes) -> None:
    """Whatever answers 200 without being an agent is not taken for a ready one."""
    status, line = check(loopback(lambda _path, _headers: http_answer(200, body)))

    assert status == UNREACHABLE
    assert "127.0.0.1" in line
