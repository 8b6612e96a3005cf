"""`ops up` as a command: signals, exit statuses, the report, and one real run of `--once`."""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab.servers import NO_TLS, free_port, wait_until
from lab.stores import damage, weights_of, write_store
from lab.up_service import command, document, held_probe, is_alive, write
from ops.__main__ import main

# Linux's fcntl for a pipe's capacity; Python's own name for it exists on Linux alone.
F_GETPIPE_SZ = 1032
SERVICE = Path(__file__).parents[3] / "service.yaml"
# The most that a started command may take to say or do what a test waits for.
LIMIT_SECONDS = 20.0
# For a real model, which computes slowly where all cores are busy; two seconds where they are not.
MODEL_SECONDS = 50.0
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('de' + 'af', flush=True); time.sleep(60)"
)


class Command:
    """`ops up` as a process of its own."""

    def __init__(self, *arguments: str, output: int = subprocess.PIPE, **environ: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ops", "up", *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environ},
        )
        self.output = ""

    def until(self, text: str) -> None:
        """Read its output until a text appears."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + LIMIT_SECONDS
        while text not in self.output:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not appear in:\n{self.output}"
            if select.select([self.process.stdout], [], [], left)[0]:
                part = os.read(self.process.stdout.fileno(), 65536).decode()
                assert part, f"it ended before {text!r}:\n{self.output}"
                self.output += part

    def children(self) -> list[int]:
        """Return the process ids of its containers."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        pids = [int(pid) for pid in text.split()]
        return [pid for pid in pids if b"keeper.py" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def end(self, within: float = LIMIT_SECONDS) -> int:
        """Wait for its end; returns the exit status."""
        self.output += self.process.communicate(timeout=within)[0].decode()
        return self.process.returncode


@pytest.fixture
def started() -> Iterator[list[Command]]:
    """Collect commands; a test that fails leaves none behind."""
    commands: list[Command] = []
    yield commands
    for item in commands:
        with item.process:  # closes its pipe and waits
            item.process.terminate()


def arguments(directory: Path, *more: str, server: str = "", agent: str = "") -> list[str]:
    """Return the command line of a run with fake containers."""
    file = write(directory, document())
    fakes = [f"--process=server={server or command('server')}", f"--process=agent={agent or command('agent')}"]
    return [str(file), "--port=0", "--free-ports", *fakes, *more]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the containers")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_everything(tmp_path: Path, started: list[Command], number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM or a closed terminal stops all containers; the command ends well and writes its report."""
    report = tmp_path / "report.json"
    started.append(up := Command(*arguments(tmp_path, f"--report={report}")))
    up.until("curl ")
    containers = up.children()
    assert len(containers) == 2
    up.process.send_signal(number)
    assert up.end() == 0
    assert not [pid for pid in containers if is_alive(pid)]
    assert json.loads(report.read_text())["failure"] is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the containers")
def test_containers_and_folders_end_with_a_killed_command(tmp_path: Path, started: list[Command]) -> None:
    """After `kill -9` of `ops up` no container and no folder of the run is left (B12)."""
    content = document()
    (template,) = [content["spec"]["template"]["spec"]]
    template["volumes"] = [{"name": "shared", "emptyDir": {}}]
    template["containers"][0]["volumeMounts"] = [{"name": "shared", "mountPath": "/shared"}]
    words = arguments(tmp_path)
    write(tmp_path, content)
    folders = tmp_path / "tmp"
    folders.mkdir()
    started.append(up := Command(*words, TMPDIR=str(folders)))
    up.until("curl ")
    containers = up.children()
    assert len(containers) == 2
    assert list(folders.glob("ops-up-*-shared"))
    up.process.kill()
    wait_until(lambda: not any(map(is_alive, containers)), LIMIT_SECONDS, "the containers' end")
    wait_until(lambda: not list(folders.glob("ops-up-*-shared")), LIMIT_SECONDS, "the folder's end")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the containers")
def test_second_signal_kills(tmp_path: Path, started: list[Command]) -> None:
    """A container that ignores SIGTERM is killed at the second Ctrl-C, and the status is 130."""
    deaf = f"{sys.executable} -c {shlex.quote(STUBBORN)}"
    started.append(up := Command(*arguments(tmp_path, "--logs", server=deaf)))
    up.until("deaf")
    containers = up.children()
    up.process.send_signal(signal.SIGINT)
    up.until("stopping")
    up.process.send_signal(signal.SIGINT)
    assert up.end() == 130
    assert "killed server, which had not ended" in up.output
    assert not [pid for pid in containers if is_alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the containers")
def test_reader_that_leaves_stops_everything(tmp_path: Path, started: list[Command]) -> None:
    """When nobody reads the output any more, as in `ops up | head`, the run stops and leaves no process."""
    started.append(up := Command(*arguments(tmp_path, "--logs")))
    up.until("curl ")
    containers = up.children()
    assert up.process.stdout is not None
    up.process.stdout.close()
    assert up.process.wait(LIMIT_SECONDS) == 0
    assert not [pid for pid in containers if is_alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the containers")
def test_closed_terminal_stops_everything(tmp_path: Path, started: list[Command]) -> None:
    """When the terminal goes away (writing is EIO) the run stops in order, and leaves no process."""
    outside, inside = os.openpty()
    started.append(up := Command(*arguments(tmp_path, "--logs", f"--port={(port := free_port())}"), output=inside))
    os.close(inside)
    shown = b""
    while b"curl " not in shown:
        assert select.select([outside], [], [], LIMIT_SECONDS)[0], shown
        shown += os.read(outside, 65536)
    containers = up.children()
    os.close(outside)
    httpx.get(f"http://127.0.0.1:{port}/echo", timeout=LIMIT_SECONDS, verify=NO_TLS)  # the container prints a line
    assert up.process.wait(LIMIT_SECONDS) == 0
    assert not [pid for pid in containers if is_alive(pid)]


def test_ctrl_c_during_the_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C before the command handles signals itself ends in one line and status 130, not in a traceback."""

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("ops.cli.run", interrupted)
    assert main(["up"]) == 130
    assert capsys.readouterr().err == "ops: interrupted\n"


def test_full_disk_ends_with_the_reason_of_the_run(tmp_path: Path, started: list[Command]) -> None:
    """Output that cannot be written is no traceback: the run ends, and so do its containers."""
    with Path("/dev/full").open("wb") as full:
        started.append(up := Command(*arguments(tmp_path), output=full.fileno()))
    assert up.process.wait(LIMIT_SECONDS) == 0


def test_poor_encoding_is_no_fault(tmp_path: Path, started: list[Command]) -> None:
    """A terminal that cannot show a character gets a question mark, not the end of the run."""
    started.append(up := Command(*arguments(tmp_path), PYTHONIOENCODING="ascii"))
    up.until("curl ")
    up.process.send_signal(signal.SIGTERM)
    assert up.end() == 0


def test_reader_that_stands_still_stops_nothing(tmp_path: Path, started: list[Command]) -> None:
    """While nobody reads the full output, requests are answered, and Ctrl-C still ends the run in time."""
    started.append(up := Command(*arguments(tmp_path, "--logs", f"--port={(port := free_port())}")))
    up.until("curl ")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=LIMIT_SECONDS, verify=NO_TLS) as client:
        client.post("/chatter").raise_for_status()
        assert up.process.stdout is not None
        pipe = up.process.stdout.fileno()
        wait_until(lambda: _unread(pipe) > 0.75 * fcntl.fcntl(pipe, F_GETPIPE_SZ), LIMIT_SECONDS, "a full pipe")
        assert [client.get("/echo").status_code for _ in range(20)] == [200] * 20
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(LIMIT_SECONDS) == 0


def _unread(pipe: int) -> int:
    """Return how many bytes wait in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find the containers")
def test_signal_while_stopping_hides_no_failure(tmp_path: Path, started: list[Command]) -> None:
    """A signal while a failed run is being stopped only hurries: no container is left, status and reason stay."""
    report = tmp_path / "report.json"
    deaf = f"{sys.executable} -c {shlex.quote(STUBBORN)}"
    file = write(tmp_path, document())
    fakes = [f"--process=server={command('server')}", f"--process=agent={deaf}", "--free-ports"]
    started.append(
        up := Command(
            str(file), "--logs", f"--port={(port := free_port())}", "--probe=tcp", f"--report={report}", *fakes
        )
    )
    up.until("deaf")
    up.until("the ingress is open")
    containers = up.children()
    httpx.get(f"http://127.0.0.1:{port}/die", timeout=LIMIT_SECONDS, verify=NO_TLS)
    up.until(" s  stopping")
    up.process.send_signal(signal.SIGTERM)
    assert up.end(within=5) == 1
    assert "'server' exited with status 3" in up.output
    assert "'server' exited with status 3" in json.loads(report.read_text())["failure"]
    assert not [pid for pid in containers if is_alive(pid)]


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--port=70000", "--port: expected a whole number from 0 to 65535, found '70000'"),
        ("--timeout=5", "--timeout bounds a run of --once"),
        ("--report=/", "--report /: Is a directory"),
        ("--volume=runtime", "expected NAME=FOLDER, found 'runtime'"),
        ("--volume=runtime=/tmp", "--volume runtime=/tmp: no container mounts a volume 'runtime'; there are none"),
        ("--process=nobody=true", "no container is called 'nobody'; there are server, agent"),
    ],
)
def test_bad_option_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], option: str, complaint: str
) -> None:
    """An option that cannot be meant ends the command with status 2 and a sentence, before anything starts."""
    assert main(["up", *arguments(tmp_path), option]) == 2
    captured = capfd.readouterr()
    assert complaint in captured.out + captured.err
    assert "Traceback" not in captured.out + captured.err


def test_failure_is_the_exit_status_and_in_the_report(tmp_path: Path, started: list[Command]) -> None:
    """A failing instance ends the command with status 1; output and report say why."""
    report = tmp_path / "report.json"
    dies = f"{sys.executable} -c \"raise SystemExit('cannot read the weights')\""
    started.append(up := Command(*arguments(tmp_path, f"--report={report}", server=dies)))
    assert up.end() == 1
    assert "ops up: container 'server' exited with status 1; its last output:" in up.output
    assert "cannot read the weights" in json.loads(report.read_text())["failure"]


def test_once_is_bounded(tmp_path: Path, started: list[Command]) -> None:
    """With --once a start that takes too long ends with status 1, and what the agent said last."""
    file = write(tmp_path, document(held=True))
    late = [f"--process=server={command('server')}", f"--process=agent={command('agent', '60')}"]
    started.append(up := Command(str(file), "--port=0", "--free-ports", "--once", "--timeout=0.9", *late))
    assert up.end() == 1
    assert "not done within 0.9 s (--timeout); the agent said LOADING: the model is being loaded" in up.output


def test_once_does_not_wait_for_what_has_failed(tmp_path: Path, started: list[Command]) -> None:
    """An agent that is FAILED ends a run of --once at once, with its reason and what to do, not the probe's budget."""
    damage(weights_of(tmp_path, write_store(tmp_path)), "flipped")
    file = str(SERVICE.parent / "deploy" / "service.mount.yaml")
    options = ["--once", "--standin", "--port=0", "--free-ports", "--model=m", f"--volume=models={tmp_path}"]
    started.append(up := Command(file, *options))
    assert up.end() == 1, up.output
    assert "the agent is FAILED: source mount: blob sha256-" in up.output
    assert "deploy anew" in up.output


def test_unknown_image_is_explained(tmp_path: Path, started: list[Command]) -> None:
    """An image without a local recipe ends the command with status 2, and the option that helps."""
    content = document()
    content["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example/nginx:1"
    started.append(up := Command(str(write(tmp_path, content)), "--port=0"))
    assert up.end() == 2
    assert "--process server=COMMAND" in up.output


def test_probe_is_named_in_the_plain_display(tmp_path: Path, started: list[Command]) -> None:
    """Without a terminal each step is one line with its seconds."""
    content = document()
    content["spec"]["template"]["spec"]["containers"][1]["startupProbe"] = held_probe()
    file = write(tmp_path, content)
    fakes = [f"--process=server={command('server')}", f"--process=agent={command('agent', '0.2')}"]
    started.append(up := Command(str(file), "--port=0", "--free-ports", "--no-logs", *fakes))
    up.until("cold start")
    for step in ("container started server", "startup probe passed agent (GET :", "model loaded", "READY", "gate open"):
        assert f" s  {step}" in up.output


@pytest.mark.parametrize("gating", ["all", "ingress"])
def test_once_answers_both_ways(tmp_path: Path, started: list[Command], gating: str) -> None:
    """Under both gatings the first chat, sent at once, is held, and none reaches the real server before READY."""
    report = tmp_path / "report.json"
    options = ["--once", "--standin", "--port=0", "--free-ports", f"--gating={gating}", f"--report={report}"]
    started.append(up := Command(str(SERVICE), *options))
    assert up.end(MODEL_SECONDS) == 0, up.output
    for shown in ("ollama client, POST /api/chat", "OpenAI wire format", "Paris", "cold start", "gap closed: "):
        assert shown in up.output
    assert "1 request was held until the gate opened, none reached the container before READY" in up.output
    content = json.loads(report.read_text())
    assert (content["early_requests"], content["early_seconds"], content["held_requests"]) == (0, 0, 1)
    assert content["first_answer_seconds"] > content["agent_ready_seconds"]
    assert [request["status"] for request in content["requests"]] == [200, 200]


def test_once_with_a_tcp_probe_gets_in_early(tmp_path: Path, started: list[Command]) -> None:
    """With Cloud Run's default probe the same first chat reaches the real server before READY, and that is said."""
    report = tmp_path / "report.json"
    options = ["--once", "--standin", "--port=0", "--free-ports", "--probe=tcp", f"--report={report}"]
    started.append(up := Command(str(SERVICE), *options))
    assert up.end(MODEL_SECONDS) == 0, up.output
    # The second chat gets in early too, when the first is answered while the model is still being warmed.
    assert re.search(r"; (1 request|2 requests) got in before the model was ready", up.output)
    assert json.loads(report.read_text())["early_seconds"] > 0
