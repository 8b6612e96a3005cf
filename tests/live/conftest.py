"""The behaviour suite runs twice: against the stand-in, and against a real Ollama where there is one.

OLLAMA_BIN names the binary; else `ollama` on PATH is taken. Where there is none, the end of the run says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.live.subject import Subject, real_ollama, stand_in
from tests.servers import REAL_OLLAMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = "Ollama's version"
"""A property of the tests that a real one took part in."""


@pytest.fixture(scope="session", params=["stand-in", "ollama"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """Each server in turn, started once."""
    home = tmp_path_factory.mktemp("server")
    if request.param == "stand-in":
        with stand_in(home) as subject:
            yield subject
        return
    if REAL_OLLAMA is None:
        pytest.skip("no real Ollama: set OLLAMA_BIN")
    with real_ollama(home, REAL_OLLAMA) as subject:
        yield subject


@pytest.fixture(autouse=True)
def told(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> None:
    """Note in the test's report which real Ollama took part, for the last lines of the run."""
    if "running" in request.fixturenames and request.node.callspec.params["running"] == "ollama":
        record_property(VERSION, request.getfixturevalue("running").version)


@pytest.fixture
def server(running: Subject) -> Subject:
    """Each server with nothing loaded."""
    running.unload()
    return running


@pytest.fixture
def warm(running: Subject) -> Subject:
    """Each server with a model loaded by its Modelfile, by an earlier test if possible: loads cost time."""
    running.load()
    return running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines whether a real Ollama took part."""
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    versions = sorted({str(value) for report in passed for name, value in report.user_properties if name == VERSION})
    for version in versions:
        terminalreporter.write_line(f"behaviour suite: ran against a real Ollama {version} ({REAL_OLLAMA}) too")
    if REAL_OLLAMA is None:
        terminalreporter.write_line(
            "behaviour suite: the real-Ollama half was SKIPPED, there is no ollama here; "
            "run `OLLAMA_BIN=/path/to/ollama make test-live`",
            yellow=True,
            bold=True,
        )
