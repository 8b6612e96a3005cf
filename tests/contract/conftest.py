"""The behaviour suite runs twice: against the stand-in, and against a real Ollama where there is one.

OLLAMA_BIN names the binary. Where it is not set, the last lines of the run say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lab.ollama_server import OllamaServer, real_ollama, stand_in
from lab.servers import REAL_OLLAMA
from tests.conftest import TESTED_OLLAMA


@pytest.fixture(scope="session", params=["stand-in", "ollama"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OllamaServer]:
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
        record_property(TESTED_OLLAMA, f"{request.getfixturevalue('running').version} ({REAL_OLLAMA})")


@pytest.fixture
def server(running: OllamaServer) -> OllamaServer:
    """Each server with nothing loaded."""
    running.unload()
    return running


@pytest.fixture
def warm(running: OllamaServer) -> OllamaServer:
    """Each server with a model loaded by its Modelfile, by an earlier test if possible: loads cost time."""
    running.load()
    return running
