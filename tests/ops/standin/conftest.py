"""What these tests share: a stand-in that is served, and its client."""

from collections.abc import Iterator

import httpx
import pytest

from lab.servers import NO_TLS, LoopbackServer
from ops.standin import StandIn


@pytest.fixture
def loopback(server: StandIn) -> Iterator[LoopbackServer]:
    """A module's own `server`, serving."""
    loopback = LoopbackServer(server)
    with loopback:
        yield loopback


@pytest.fixture
def http(loopback: LoopbackServer) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=loopback.url, timeout=5, verify=NO_TLS) as client:
        yield client
