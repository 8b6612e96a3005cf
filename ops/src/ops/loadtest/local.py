"""The service on this machine: `ops up` as a process of its own, so that its front does not compete with the clock."""

import asyncio
import contextlib
import copy
import hashlib
import os
import re
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.loadtest import stopping
from ops.loadtest.errors import InputError, LocalError
from ops.up import manifest, runtime
from ops.up.errors import UpError

PARALLEL = "OLLAMA_NUM_PARALLEL"
OPEN = re.compile(r"the ingress is open: (\S+)")
# For `ops up` to open its ingress: a large model from a slow disk; the file's own startup budget ends it before.
START_SECONDS = 600.0
# For `ops up` to stop: it gives its containers 10 s, as the platform does.
STOP_SECONDS = 20.0
LAST_LINES = 5


@dataclass(frozen=True, slots=True)
class LocalService:
    """A service.yaml as it was read, and which of its containers are Ollama's and the agent's."""

    path: Path
    document: dict[str, Any]
    ollama: frozenset[str]
    agents: frozenset[str]


def read(path: Path) -> LocalService:
    """Return a service.yaml; raises InputError for what `ops up` would not run."""
    try:
        containers = manifest.read_service(path).containers
        document: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UpError as error:
        raise InputError(str(error)) from error
    return LocalService(
        path,
        document,
        frozenset(each.name for each in containers if runtime.is_ollama(each)),
        frozenset(each.name for each in containers if runtime.is_agent(each)),
    )


def sha256(path: Path | None) -> str | None:
    """Return the checksum of a file's content; None where there is none, or it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path else None
    except OSError:
        return None


def adapted(
    service: LocalService, *, parallel: int | None, concurrency: int, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Return the service as it is to be measured.

    OLLAMA_NUM_PARALLEL is set in both containers, the operator's variables in Ollama's. containerConcurrency is what is
    looked for, so the front must let through as many as are tried.
    """
    changed = copy.deepcopy(service.document)
    spec = changed["spec"]["template"]["spec"]
    spec["containerConcurrency"] = max(1, min(1000, concurrency))
    for container in spec["containers"]:
        name = container["name"]
        wanted = dict(variables) if name in service.ollama else {}
        if parallel is not None and name in service.ollama | service.agents:
            wanted[PARALLEL] = str(parallel)
        kept = [each for each in container.get("env") or [] if each.get("name") not in wanted]
        container["env"] = kept + [{"name": name, "value": value} for name, value in wanted.items()]
    return changed


@contextlib.contextmanager
def _written(document: Mapping[str, Any]) -> Iterator[Path]:
    """Keep the service in a file for as long as it runs."""
    with tempfile.TemporaryDirectory(prefix="ops-loadtest-") as folder:
        file = Path(folder, "service.yaml")
        file.write_text(yaml.safe_dump(dict(document), sort_keys=False), encoding="utf-8")
        yield file


@contextlib.asynccontextmanager
async def running(document: Mapping[str, Any], arguments: Sequence[str]) -> AsyncIterator[tuple[str, "Service"]]:
    """Run `ops up` with a service; yields its address and the running service, and stops it at the end.

    Raises:
        LocalError: it did not open.

    """
    with _written(document) as file:
        command = (sys.executable, "-m", "ops", "up", str(file), "--port", "0", "--free-ports", "--no-logs", *arguments)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is the load test's, which stops the service itself
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        service = Service(process)
        try:
            yield await service.opened(), service
        finally:
            await stopping.to_the_end(service.stop())  # a second Ctrl-C must not leave it running


class Service:
    """One `ops up`; what it prints is read all the time, so that it never waits for a reader."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._lines: list[str] = []
        self._url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._reader = asyncio.ensure_future(self._read())

    async def opened(self) -> str:
        """Return the ingress's address once it is open."""
        try:
            async with asyncio.timeout(START_SECONDS):
                return await self._url
        except TimeoutError:
            raise LocalError(f"ops up did not open its ingress within {START_SECONDS:g} s; {self._words()}") from None

    def check(self) -> None:
        """Raise LocalError when it has ended."""
        if self._reader.done():
            raise LocalError(f"the local service ended while it was measured; {self._words()}")

    async def stop(self) -> None:
        """Stop it in order, then by force."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
                    break
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        if self._url.done():
            self._url.exception()

    async def _read(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"  # noqa: S101 — for the type checker
        async for data in self._process.stdout:
            line = data.decode(errors="replace").rstrip()
            if line:
                self._lines = [*self._lines[-LAST_LINES:], line]
            if (match := OPEN.search(line)) and not self._url.done():
                self._url.set_result(match[1])
        if not self._url.done():
            self._url.set_exception(LocalError(f"ops up did not start; {self._words()}"))

    def _words(self) -> str:
        return f"it said: {self._lines[-1].strip()}" if self._lines else "it said nothing"
