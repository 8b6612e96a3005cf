"""What the agent's tests share: a scripted Ollama."""

from collections.abc import Iterator

import pytest
from tests.integration.scripted import Ollama


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """Run a server that behaves."""
    server = Ollama()
    with server.running:
        yield server
