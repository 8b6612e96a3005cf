"""`ops up`: the gate, the front and the life of an instance, with fake containers."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from lab.up_service import LIMIT_SECONDS, document, held_probe, opens, options, probe, run, write
from lab.up_service import command as up_command
from ops.up import command, front, instance, process
from ops.up.errors import InstanceError, LaunchError
from ops.up.journal import Journal, Kind
from ops.up.options import Gating, ProbeKind
from ops.up.report import admission, as_json
from ops.up.screen import Screen

# A container that is waited for, where none should be, is waited for longer than a run may take.
PATIENCE_SECONDS = 60.0


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a state; the run's own time limit bounds it."""
    while not condition():  # noqa: ASYNC110 — what is waited for is plain state, as an operator sees it
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("gating", list(Gating))
def test_request_before_ready_is_held_back(tmp_path: Path, gating: Gating) -> None:
    """Under both gatings, no request reaches the container before the model is ready."""

    async def body() -> None:
        async with run(options(write(tmp_path, document(held=True)), ready_after=60, gating=gating)) as up:
            asked = asyncio.create_task(up.client.get("/echo"))
            agent = up.local.agent
            assert agent is not None
            await until(lambda: up.local.front.waiting == 1 and agent.latest is not None)
            await up.tell_agent("now")
            assert (await asked).status_code == 200
            await agent.wait_ready()
            shown = admission(up.local)
            assert (shown.early_requests, shown.held_requests) == (0, 1)
            assert shown.early_seconds is not None
            assert shown.early_seconds <= 0
            assert "1 request was held until the gate opened, none reached the container before READY" in str(shown)

    asyncio.run(body())


def test_tcp_probe_lets_requests_in_early(tmp_path: Path) -> None:
    """With Cloud Run's default TCP probe a request gets in before READY, and the report says for how long."""

    async def body() -> None:
        chosen = options(write(tmp_path, document(held=True)), ready_after=0.8, probe=ProbeKind.TCP)
        async with run(chosen) as up:
            assert (await up.client.get("/echo")).status_code == 200
            assert up.local.agent is not None
            await up.local.agent.wait_ready()
            report = as_json(up.local, None)
            assert report["early_requests"] == 1
            assert report["early_seconds"] > 0.3
            assert report["summary"].startswith("EARLY: the gate was open ")

    asyncio.run(body())


def test_volume_lasts_as_long_as_the_run(tmp_path: Path) -> None:
    """An emptyDir is a folder that both containers write to as their user; what they left there goes with it."""

    async def body() -> None:
        async with run(options(write(tmp_path, with_volume()), server=shared_by("server"))) as up:
            await up.local.gate.wait_open()
            (folder,) = up.local.plan.folders
            assert (folder.path / "by-server").read_text() == "the server was here"
            assert folder.path.stat().st_mode & 0o777 == 0o700
        assert not folder.path.exists()

    asyncio.run(body())


def test_volume_is_gone_after_a_failure_too(tmp_path: Path) -> None:
    """A container that fails leaves no folder behind."""
    made: list[Path] = []

    async def body() -> None:
        async with run(options(write(tmp_path, with_volume()), server="sh -c 'exit 3'")) as up:
            made.extend(folder.path for folder in up.local.plan.folders)
            await until(made[0].is_dir)
            await asyncio.Event().wait()

    with pytest.raises(InstanceError, match="exited with status 3"):
        asyncio.run(body())
    assert not made[0].exists()


def test_operators_folder_stays(tmp_path: Path) -> None:
    """A folder that --volume names is neither made nor removed."""
    (kept := tmp_path / "kept").mkdir()

    async def body() -> None:
        chosen = options(write(tmp_path, with_volume()), server=shared_by("server"), volumes={"shared": kept})
        async with run(chosen) as up:
            await up.local.gate.wait_open()

    asyncio.run(body())
    assert (kept / "by-server").exists()


def with_volume() -> dict[str, Any]:
    """Return a service whose containers share an emptyDir, which the server's variable names."""
    content = document(volumes=[{"name": "shared", "emptyDir": {}}])
    for container in content["spec"]["template"]["spec"]["containers"]:
        container["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
        container.setdefault("env", []).append({"name": "SHARED", "value": "/shared"})
    return content


def shared_by(name: str) -> str:
    """Return the command of a fake that first writes into the shared folder."""
    script = f'printf "the {name} was here" >"$SHARED/by-{name}"; exec {up_command(name)}'
    return shlex.join(("sh", "-c", script))


def test_concurrency_is_held(tmp_path: Path) -> None:
    """No more than containerConcurrency requests are inside at once; the others wait their turn."""

    async def body() -> None:
        async with run(options(write(tmp_path, document(containerConcurrency=2)))) as up:
            asked = [asyncio.create_task(up.client.get("/held")) for _ in range(5)]
            await until(lambda: (up.local.front.in_flight, up.local.front.waiting) == (2, 3))
            while (await up.server("/count")).json()["most_busy"] < 2:
                pass  # the second one is on its way
            await up.server("/release", "POST")
            assert [(await response).status_code for response in asked] == [200] * 5
            assert (await up.server("/count")).json()["most_busy"] == 2

    asyncio.run(body())


def test_request_without_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that finds no slot in time gets 429, and never reaches the container."""
    monkeypatch.setattr(front, "QUEUE_SECONDS", 0.05)

    async def body() -> None:
        async with run(options(write(tmp_path, document(containerConcurrency=1)))) as up:
            held = asyncio.create_task(up.client.get("/held"))
            await until(lambda: up.local.front.in_flight == 1)
            assert (await up.client.get("/echo")).status_code == 429
            await up.server("/release", "POST")
            assert (await held).status_code == 200
            assert "/echo" not in (await up.server("/count")).json()["seen"]

    asyncio.run(body())


def test_stream_passes_unbuffered(tmp_path: Path) -> None:
    """The first line of a stream arrives while the container still holds back the second."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up, up.client.stream("GET", "/stream") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == '{"line": 1}'
            await up.server("/release", "POST")
            assert await anext(lines) == '{"line": 2}'

    asyncio.run(body())


def test_leaving_client_is_forgotten(tmp_path: Path) -> None:
    """When a client leaves, the container sees it leave, and its slot is free again."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            async with up.client.stream("GET", "/endless") as response:
                await anext(response.aiter_lines())
            assert (await up.server("/left")).json() == {"left": True}
            await until(lambda: up.local.front.in_flight == 0)

    asyncio.run(body())


def test_broken_stream_breaks_for_the_client_too(tmp_path: Path) -> None:
    """An answer that breaks off in the container does not end well for the client."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            with pytest.raises(httpx.RemoteProtocolError):
                await up.client.get("/cut")

    asyncio.run(body())


def test_slow_answer_is_a_504(tmp_path: Path) -> None:
    """A request that takes longer than timeoutSeconds gets 504."""

    async def body() -> None:
        async with run(options(write(tmp_path, document(timeoutSeconds=1)))) as up:
            await up.local.gate.wait_open()
            assert (await up.client.get("/held")).status_code == 504
            await up.server("/release", "POST")

    asyncio.run(body())


def test_container_gets_what_the_platform_adds(tmp_path: Path) -> None:
    """Path, query and body arrive as they are; fields of the connection do not, trace and origin are added."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-00000000000000ff-01"

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            fields = {"traceparent": trace, "connection": "x-own", "x-own": "1", "x-forwarded-for": "10.0.0.1"}
            echo = (await up.client.get("/a%2Fb/echo?q=%20", headers=fields)).json()
            got = {name.lower(): value for name, value in echo["headers"].items()}
            assert echo["path"] == "/a%2Fb/echo?q=%20"
            assert got["traceparent"] == trace
            assert got["x-cloud-trace-context"] == "0af7651916cd43dd8448eb211c80319c/255;o=0"
            assert got["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
            assert "x-own" not in got
            posted = await up.client.post("/echo", content=b"hello")
            assert (posted.status_code, posted.json()) == (201, {"body": "hello"})

    asyncio.run(body())


def test_unready_instance_gets_no_new_requests(tmp_path: Path) -> None:
    """While the ingress's readiness probe fails, requests get 503; afterwards they pass again."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            await up.local.gate.wait_open()
            await up.tell_agent("unready")
            await until(lambda: not up.local.gate.ready)
            assert (await up.client.get("/echo")).status_code == 503
            await up.tell_agent("again")
            await until(lambda: up.local.gate.ready)
            assert (await up.client.get("/echo")).status_code == 200

    asyncio.run(body())


def test_failed_liveness_ends_the_run(tmp_path: Path) -> None:
    """A liveness probe that fails for good kills the instance, with the reason."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            await up.local.gate.wait_open()
            await up.tell_agent("dead")
            await asyncio.Event().wait()

    with pytest.raises(InstanceError, match=r"'agent': its liveness probe .*/live\) failed 2 times .* 500"):
        asyncio.run(body())


def test_dying_container_ends_the_run(tmp_path: Path) -> None:
    """A container that exits ends the run with its status and its last words."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            assert (await up.client.get("/die")).status_code == 503
            await asyncio.Event().wait()

    with pytest.raises(InstanceError, match=r"(?s)'server' exited with status 3.*no space left on the moon"):
        asyncio.run(body())


def test_failing_startup_probe_ends_the_run(tmp_path: Path) -> None:
    """A startup probe that exhausts its threshold ends the run, quoting its last answer; nothing got in."""
    content = document()
    refused = probe("/refuse", failureThreshold=2)
    content["spec"]["template"]["spec"]["containers"][1]["startupProbe"] = refused
    reached: list[Any] = []

    async def body() -> None:
        async with run(options(write(tmp_path, content))) as up:
            reached.append(up.local.front.log)
            await up.client.get("/echo")

    with pytest.raises(InstanceError, match=r"/refuse\) failed 2 times; last answer: 503 .*digest is another one"):
        asyncio.run(body())
    assert [record.forwarded_at for record in reached[0]] == [None]


def test_missing_program_is_explained(tmp_path: Path) -> None:
    """A container whose command is not there ends the run before anything is served."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()), server="/no/such/program")):
            await asyncio.Event().wait()

    with pytest.raises(LaunchError, match=r"'server': cannot run '/no/such/program': No such file"):
        asyncio.run(body())


def test_dependencies_order_the_start(tmp_path: Path) -> None:
    """A container that depends on another starts after that one's startup probe has passed."""
    content = document()
    needs = {"run.googleapis.com/container-dependencies": '{"server": ["agent"]}'}
    content["spec"]["template"]["metadata"] = {"annotations": needs}

    async def body() -> None:
        async with run(options(write(tmp_path, content))) as up:
            await up.local.gate.wait_open()
            events = [(event.kind, event.text.split()[0]) for event in up.local.journal.events if event.text]
            assert events[:3] == [
                (Kind.CONTAINER_STARTED, "agent"),
                (Kind.STARTUP_PASSED, "agent"),
                (Kind.CONTAINER_STARTED, "server"),
            ]

    asyncio.run(body())


def test_output_is_prefixed(tmp_path: Path) -> None:
    """What a container prints appears behind its name."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            await up.client.get("/echo")
            await until(lambda: 'server │ "GET /echo HTTP/1.1" 200' in up.shown.getvalue())

    asyncio.run(body())


def test_taken_ingress_port_is_explained(tmp_path: Path) -> None:
    """A front whose port is taken says which, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command.run(
            replace(options(write(tmp_path, document())), port=port), Console(file=(shown := StringIO()))
        )
    assert done == 2
    assert f"cannot listen on 127.0.0.1:{port}" in shown.getvalue()


def test_live_display_shows_each_step(tmp_path: Path) -> None:
    """On a terminal the steps appear as they happen, then one line with the state of the service."""
    console = Console(file=(shown := StringIO()), force_terminal=True, color_system=None, width=100)

    async def body() -> None:
        with Screen(console, logs=False) as screen:
            async with run(options(write(tmp_path, document(held=True)), ready_after=0.8), screen) as up:
                screen.watch(up.local)
                await until(lambda: "container started" in shown.getvalue())
                assert (await up.client.get("/echo")).status_code == 200
                await until(lambda: "● READY" in shown.getvalue())
        for step in ("✔", "port open", "model loaded", "gate open", "LOADING: the model is being loaded (98 MB)"):
            assert step in shown.getvalue()

    asyncio.run(body())


def test_output_without_line_ends_is_bounded(tmp_path: Path) -> None:
    """A container that never ends its line is shown in pieces, not kept in memory."""

    async def body() -> None:
        endless = f"{sys.executable} -c \"print('x' * 200_000, end='', flush=True); import time; time.sleep(30)\""
        async with run(options(write(tmp_path, document()), server=endless)) as up:
            await until(lambda: up.shown.getvalue().count("x") >= process.LINE_BYTES)
            assert max(map(len, up.local.instance.processes["server"].tail)) <= 2 * process.LINE_BYTES

    asyncio.run(body())


@pytest.mark.parametrize("gating", list(Gating))
def test_sidecars_probe_counts_only_under_all(tmp_path: Path, gating: Gating) -> None:
    """While the sidecar's own probe is pending, the gate is open under `ingress`, and closed under `all`."""
    content = document()
    content["spec"]["template"]["spec"]["containers"][1]["startupProbe"] = held_probe()

    async def body() -> None:
        async with run(options(write(tmp_path, content), ready_after=60, gating=gating)) as up:
            passed = up.local.journal.events
            await until(lambda: any(e.kind is Kind.STARTUP_PASSED and "server" in e.text for e in passed))
            if gating is Gating.INGRESS:
                await up.local.gate.wait_open()
            assert (up.local.gate.opened_at is None) == (gating is Gating.ALL)
            await until(lambda: up.local.agent is not None and up.local.agent.latest is not None)
            assert (up.local.gate.opened_at is None) == (gating is Gating.ALL)
            await up.tell_agent("now")
            await up.local.gate.wait_open()

    asyncio.run(body())


def test_half_an_upload_never_reaches_the_container(tmp_path: Path) -> None:
    """When a client hangs up in the middle of its body, nothing of it is forwarded."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            await up.client.get("/echo")  # so that a connection to the container stands ready
            _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(up.local.url).port)
            writer.write(b"POST /half/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
            await writer.drain()
            await until(lambda: up.local.front.waiting == 1)
            writer.close()
            await writer.wait_closed()
            await until(lambda: up.local.front.log[1].finished_at is not None)
            assert up.local.front.log[1].forwarded_at is None

    asyncio.run(body())


def test_path_goes_as_it_came(tmp_path: Path) -> None:
    """The front does not tidy a path: dots, doubled slashes and escapes arrive as they were sent."""

    async def body() -> None:
        async with run(options(write(tmp_path, document()))) as up:
            await up.local.gate.wait_open()
            target = b"/a/../b//%41/./echo?x=..%2e"
            request = httpx.Request("GET", up.local.url, extensions={"target": target})
            assert (await up.client.send(request)).json()["path"] == target.decode()

    asyncio.run(body())


def test_queued_request_is_refused_when_readiness_is_lost(tmp_path: Path) -> None:
    """A request that waited for a slot gets 503 when the instance has become unready meanwhile."""

    async def body() -> None:
        async with run(options(write(tmp_path, document(containerConcurrency=1)))) as up:
            held = asyncio.create_task(up.client.get("/held"))
            await until(lambda: up.local.front.in_flight == 1)
            queued = asyncio.create_task(up.client.get("/echo"))
            await until(lambda: up.local.front.waiting == 1)
            await up.tell_agent("unready")
            await until(lambda: not up.local.gate.ready)
            await up.server("/release", "POST")
            assert (await held).status_code == 200
            assert (await queued).status_code == 503
            assert "/echo" not in (await up.server("/count")).json()["seen"]

    asyncio.run(body())


def test_request_to_a_dead_port_was_not_forwarded(tmp_path: Path) -> None:
    """A request counts as forwarded only once the container is connected."""
    content = document()
    content["spec"]["template"]["spec"]["containers"][0]["startupProbe"] = opens(9090)

    async def body() -> None:
        mute = f"{sys.executable} -c 'import time; time.sleep(30)'"
        async with run(options(write(tmp_path, content), server=mute)) as up:
            assert (await up.client.get("/echo")).status_code == 503
            assert [record.forwarded_at for record in up.local.front.log] == [None]

    asyncio.run(body())


def test_grandchildren_end_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container's first process leaves behind at SIGTERM, as a model's runner, is killed with it."""
    os.mkfifo(fifo := tmp_path / "held")
    child = f"held = open({str(fifo)!r}, 'w'); import time; time.sleep(60)"
    words = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); p.wait()"
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    monkeypatch.setattr(instance, "STOP_SECONDS", PATIENCE_SECONDS)
    start = time.monotonic()

    async def body() -> None:
        async with run(options(write(tmp_path, document()), server=shlex.join([sys.executable, "-c", words]))):
            await until(lambda: _is_held(reader))

    try:
        asyncio.run(body())
        assert not _is_held(reader)
        assert time.monotonic() - start < LIMIT_SECONDS
    finally:
        os.close(reader)


def test_end_of_a_container_shows_behind_its_children(tmp_path: Path) -> None:
    """A container whose first process is gone has ended, though a child of it still holds its output open."""
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"

    async def body() -> None:
        async with run(options(write(tmp_path, document()), server=shlex.join([sys.executable, "-c", child]))):
            await asyncio.Event().wait()

    with pytest.raises(InstanceError, match="'server' exited with status 0"):
        asyncio.run(body())


def _is_held(fifo: int) -> bool:
    """Say whether a living process has a pipe open to write: a zombie has not."""
    try:
        return os.read(fifo, 1) != b""
    except BlockingIOError:
        return True


def test_failed_liveness_kills_who_is_deaf_to_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed liveness probe is SIGKILL at once: no container is waited for."""
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    content = document()
    content["spec"]["template"]["spec"]["containers"][0]["startupProbe"] = opens(9090)
    journals: list[Journal] = []

    async def body() -> None:
        async with run(options(write(tmp_path, content), server=shlex.join([sys.executable, "-c", deaf]))) as up:
            journals.append(up.local.journal)
            await up.local.gate.wait_open()
            await up.tell_agent("dead")
            await asyncio.Event().wait()

    monkeypatch.setattr(instance, "STOP_SECONDS", PATIENCE_SECONDS)
    start = time.monotonic()
    with pytest.raises(InstanceError, match="its liveness probe"):
        asyncio.run(body())
    assert journals[0].at(Kind.KILLED) is not None
    assert time.monotonic() - start < LIMIT_SECONDS
