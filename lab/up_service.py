"""A small service for tests of `ops up`: its YAML, and its containers as fake processes."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import yaml
from rich.console import Console

from ops.up.local_run import running
from ops.up.manifest import read_service
from ops.up.options import Options
from ops.up.plan import make_plan
from ops.up.run_state import LocalRun
from ops.up.screen import Screen

FAKES = Path(__file__).with_name("up_fakes.py")
# The most that any test of a run may take.
LIMIT_SECONDS = 15.0


def command(*words: str) -> str:
    """Return the command line of a fake container."""
    return " ".join((sys.executable, str(FAKES), *words))


def probe(path: str, **numbers: int) -> dict[str, Any]:
    """Return a probe of the agent, asked every second."""
    return {"httpGet": {"path": path, "port": 9090}, "periodSeconds": 1, "timeoutSeconds": 1, **numbers}


def held_probe() -> dict[str, Any]:
    """Return a startup probe that waits for the agent's answer, as service.yaml's do."""
    return probe("/startup", periodSeconds=2, timeoutSeconds=2)


def opens(port: int) -> dict[str, Any]:
    """Return a probe that passes as soon as a port opens."""
    return {"tcpSocket": {"port": port}, "timeoutSeconds": 10}


def document(*, held: bool = False, **spec: Any) -> dict[str, Any]:
    """Return a service of two containers; `spec` changes the revision's own fields.

    With `held`, both startup probes ask the agent as service.yaml does; else they pass when the ports open.
    """
    server = {
        "name": "server",
        "image": "registry.example/ollama-some-model:1",
        "ports": [{"containerPort": 11434}],
        "startupProbe": held_probe() if held else opens(11434),
        "readinessProbe": probe("/ready", failureThreshold=2),
    }
    agent = {
        "name": "agent",
        "image": "registry.example/probe-agent:1",
        "env": [{"name": "PROBE_AGENT_MODEL", "value": "some-model@2048"}],
        "startupProbe": held_probe() if held else opens(9090),
        "livenessProbe": probe("/live", failureThreshold=2),
    }
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "small"},
        "spec": {"template": {"spec": {"containers": [server, agent], **spec}}},
    }


def write(directory: Path, content: dict[str, Any]) -> Path:
    """Write a service's YAML."""
    path = directory / "service.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def options(file: Path, *, ready_after: float = 0.0, server: str = "", **changes: Any) -> Options:
    """Return options that run the fakes on free ports."""
    process = {"server": server or command("server"), "agent": command("agent", str(ready_after))}
    return Options(file=file, port=0, free_ports=True, process=process, **changes)


class Run:
    """A running service, with a client of its ingress and one of its agent, and what the screen showed."""

    def __init__(self, local: LocalRun, client: httpx.AsyncClient, shown: io.StringIO) -> None:
        self.local = local
        self.client = client
        self.shown = shown

    async def tell_agent(self, what: str) -> None:
        """Make the fake agent change."""
        (await self.client.post(f"{self.local.plan.agent_url}/{what}")).raise_for_status()

    async def server(self, path: str, method: str = "GET") -> httpx.Response:
        """Ask the server past the front."""
        return await self.client.request(method, f"{self.local.plan.upstream_url}{path}")

    def pids(self) -> list[int]:
        """Return the containers' process ids."""
        return [process.pid for process in self.local.instance.processes.values() if process.pid]


@contextlib.asynccontextmanager
async def run(options: Options, screen: Screen | None = None) -> AsyncIterator[Run]:
    """Run the service within the time limit; afterwards no process may be left."""
    shown = io.StringIO()
    plan = make_plan(read_service(options.file), options, os.environ)
    started: Run | None = None
    try:
        async with (
            asyncio.timeout(LIMIT_SECONDS),
            _screen(shown) as own,
            running(plan, options, screen or own) as local,
            httpx.AsyncClient(base_url=local.url, trust_env=False, timeout=LIMIT_SECONDS) as client,
        ):
            started = Run(local, client, shown)
            yield started
    finally:
        assert started is not None
        assert not [pid for pid in started.pids() if is_alive(pid)]


@contextlib.asynccontextmanager
async def _screen(shown: io.StringIO) -> AsyncIterator[Screen]:
    with Screen(Console(file=shown, width=200), logs=True) as screen:
        yield screen


def is_alive(group: int) -> bool:
    """Say whether a process group still has a member; who waits only to be collected by init is none."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, timeout=10, check=True)
    members = [line.split() for line in listed.stdout.splitlines()]
    return any(int(pgid) == group and not state.startswith("Z") for pgid, state in members)
