"""What several unit tests need: a clock that stands still, a controller that has seen nothing, a log of its own."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lab.scripted import Ollama
from lab.servers import closed_port
from probe_agent.ollama.client import OllamaClient
from probe_agent.readiness.controller import Controller
from probe_agent.settings import Settings

Answer = Callable[[str, Mapping[str, str]], bytes]


@dataclass
class Clock:
    """A monotonic clock, in seconds, that moves only when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at 1000 s."""
    return Clock()


@pytest.fixture
def controller(clock: Clock) -> Iterator[Controller]:
    """A controller of one generating and one embedding model, not running, that started at 1000 s."""
    settings = Settings.from_environ({"PROBE_AGENT_MODEL": "smollm2@8192,embeddinggemma@2048"})
    server = OllamaClient(settings.ollama_url, keep_alive=settings.keep_alive)
    yield Controller(settings, server, clock=clock, started=clock.now)
    asyncio.run(server.close())


@pytest.fixture
def stdlib_names() -> frozenset[str]:
    """The names of the standard library's modules."""
    return sys.stdlib_module_names


def http_answer(status: int, body: bytes) -> bytes:
    """Return a whole HTTP answer."""
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
def loopback() -> Iterator[Callable[[Answer], int]]:
    """Start servers on loopback that answer a path and its headers with the bytes given; the call returns the port."""
    with ExitStack() as stack:

        def serve(answer: Answer) -> int:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.wfile.write(answer(self.path, dict(self.headers.items())))
                    self.close_connection = True

                def log_message(self, *_: object) -> None:
                    """Say nothing."""

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
            stack.callback(server.shutdown)
            return int(server.server_port)

        yield serve


@pytest.fixture(name="closed_port")
def port_that_refuses() -> Iterator[int]:
    """A port on loopback that nobody listens on, nor can: it is taken."""
    with closed_port() as port:
        yield port


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port on loopback that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def ollama() -> Iterator[Ollama]:
    """Run a scripted Ollama that behaves."""
    server = Ollama()
    with server.running:
        yield server
