"""What the agent does when it, or an answer, exceeds what it has: memory, open files."""

import asyncio
import errno
import importlib
import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from lab.scripted import Ollama
from lab.servers import LoopbackServer
from probe_agent.errors import BadAnswer, ServerUnreachable
from probe_agent.late_import import whole_or_nothing
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.transport import ANSWER_BYTES
from probe_agent.server import Complaints

pytestmark = pytest.mark.anyio
NO_MORE_FILES = OSError(errno.EMFILE, "Too many open files")


async def endless(scope: "Scope", _: "Receive", send: "Send") -> None:
    """An application that never comes to the end of its answer, while somebody listens."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _number in range(2 * ANSWER_BYTES >> 20):
        await send({"type": "http.response.body", "body": b"x" * (1 << 20), "more_body": True})
    await asyncio.sleep(10)


async def test_an_endless_answer_is_broken_off() -> None:
    """Regression: such an answer was kept until its time-out, which of a load is as long as the start may take."""
    with LoopbackServer(endless) as url:
        server = OllamaClient(url, keep_alive=-1)
        with pytest.raises(BadAnswer, match="/api/generate answered more than 16 MiB"):
            await server.load("m", 2048, timeout=8)
        with pytest.raises(BadAnswer, match="/api/show answered more than 16 MiB"):
            await server.show("m", timeout=8)
        await server.close()


@pytest.mark.parametrize("error", [NO_MORE_FILES, ImportError("cannot open shared object file")])
async def test_a_client_that_could_not_be_imported_is_imported_later(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Regression: without a free file descriptor at the first import, no model ever became ready."""
    server = OllamaClient(ollama.url, keep_alive=-1)

    def fails(_: str) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(importlib, "import_module", fails)
        with pytest.raises(ServerUnreachable, match=r"client does not load: .*open"):
            await server.prove("m", 2048, timeout=5)
    assert await server.prove("m", 2048, timeout=5) == 1
    await server.close()


async def test_a_client_that_could_not_be_imported_need_not_be_closed(
    ollama: Ollama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that ends after a failed import ends like any other."""
    server = OllamaClient(ollama.url, keep_alive=-1)

    def fails(_: str) -> Any:
        raise NO_MORE_FILES

    monkeypatch.setattr(importlib, "import_module", fails)
    with pytest.raises(ServerUnreachable):
        await server.prove("m", 2048, timeout=5)
    await server.close()


def test_of_an_import_that_fails_nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: half a library stayed, and the next try failed of that for good."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "halfway"
    package.mkdir()
    (package / "__init__.py").write_text("import halfway.part, halfway.missing\nplace = halfway.part.__name__\n")
    (package / "part.py").touch()
    with pytest.raises(ImportError), whole_or_nothing("halfway"):
        importlib.import_module("halfway")
    assert not [name for name in sys.modules if name.startswith("halfway")]
    (package / "missing.py").touch()
    importlib.invalidate_caches()
    with whole_or_nothing("halfway"):
        assert importlib.import_module("halfway").place == "halfway.part"


def test_what_others_import_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regression: what another thread was importing at the same time was taken away from it."""

    @whole_or_nothing("ours")
    def ends_in_the_middle() -> None:
        for name in ("ours", "ours.part", "another"):
            monkeypatch.setitem(sys.modules, name, ModuleType(name))
        raise ImportError

    with pytest.raises(ImportError):
        ends_in_the_middle()
    assert "another" in sys.modules
    assert not {"ours", "ours.part"} & set(sys.modules)


async def test_connections_that_cannot_be_accepted_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Regression: without a free file descriptor asyncio wrote two thousand tracebacks a second."""
    complain, loop = Complaints(), asyncio.get_running_loop()
    for _ in range(3):
        complain(loop, {"message": "socket.accept() out of system resource", "exception": NO_MORE_FILES})
    assert [record.message for record in caplog.records] == [
        "no probe can be answered: [Errno 24] Too many open files. Look for what uses up the limits of the container."
    ]


async def test_other_complaints_of_the_loop_are_written_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    """What is no lack of resources is a bug, and keeps its traceback."""
    caplog.set_level(logging.ERROR)
    Complaints()(asyncio.get_running_loop(), {"message": "a callback broke", "exception": ZeroDivisionError()})
    assert "a callback broke" in caplog.text
