"""What the agent's tests share: the event loop that it runs on, and a scripted Ollama."""

from collections.abc import Iterator

import pytest
from tests.integration.scripted import Ollama


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio is what uvicorn runs the agent on."""
    return "asyncio"


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """Run a server that behaves."""
    server = Ollama()
    with server.running:
        yield server
