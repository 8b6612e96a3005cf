"""The command line: help, refusals, and the way to `check`."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from probe_agent import __version__
from probe_agent.__main__ import main
from probe_agent.variables import VARIABLES
from tests.agent.conftest import Answer, http_answer

BODY = {"state": "READY", "since_seconds": 1, "reason": "smollm2 answers", "action": "Nothing."}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting comes from the shell that runs the tests, and its signals are handled as before."""
    for name in list(os.environ):
        if name.startswith("PROBE_AGENT_") or name in {"OLLAMA_NUM_PARALLEL", "K_SERVICE"}:
            monkeypatch.delenv(name)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    yield
    for each, handler in handlers.items():
        signal.signal(each, handler)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the agent as a process of its own until it ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "probe_agent", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_help_names_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` shows each variable with its default and its meaning, and the command `check`."""
    with pytest.raises(SystemExit) as end:
        main(["--help"])

    shown = capsys.readouterr().out
    assert end.value.code == 0
    for variable in VARIABLES:
        default = "required" if variable.default is None else f"default: {variable.default or 'unset'}"
        assert f"{variable.name} ({default})" in shown
        assert variable.meaning in shown
    assert "check" in shown


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the version of the installed distribution."""
    with pytest.raises(SystemExit) as end:
        main(["--version"])

    assert (end.value.code, capsys.readouterr().out.strip()) == (0, __version__)


@pytest.mark.parametrize("arguments", [["chekc"], ["--port", "1"], ["check", "--prot", "1"]])
def test_unknown_arguments_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What the command line does not know ends with status 2 and the usage."""
    with pytest.raises(SystemExit) as end:
        main(arguments)

    assert end.value.code == 2
    assert "usage: probe-agent" in capsys.readouterr().err


def test_bad_settings_are_all_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Bad settings end with status 2 and one line for each of them, before anything starts."""
    monkeypatch.setenv("PROBE_AGENT_PORT", "0")
    monkeypatch.setenv("PROBE_AGENT_DEVICE", "tpu")

    assert main([]) == 2
    told = capsys.readouterr().err
    for name in ("PROBE_AGENT_MODEL", "PROBE_AGENT_PORT", "PROBE_AGENT_DEVICE"):
        assert told.count(name) == 1


def test_a_model_that_is_not_utf_8_is_refused() -> None:
    """B2: bytes that are no UTF-8 end in exit status 2 and an escaped value, not in a traceback."""
    ended = run(PROBE_AGENT_MODEL=os.fsdecode(b"ow\xffl"))

    assert ended.returncode == 2
    assert r"PROBE_AGENT_MODEL='ow\udcffl': expected UTF-8 text" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_process_ends_with_the_status_of_main() -> None:
    """As a process, the agent with a bad environment ends with status 2 and writes to standard error alone."""
    ended = run(PROBE_AGENT_MODEL="")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "PROBE_AGENT_MODEL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_told() -> None:
    """A port that another process has ends with status 1 and a line that names it and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run(PROBE_AGENT_MODEL="m", PROBE_AGENT_HOST="127.0.0.1", PROBE_AGENT_PORT=str(port))

    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in ended.stdout
    assert "PROBE_AGENT_PORT" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("host", ["a" * 70, "203.0.113.1"])
def test_an_impossible_host_is_told(host: str) -> None:
    """A host that is none, or another machine's, ends with status 1 and names the variable to set."""
    ended = run(PROBE_AGENT_MODEL="m", PROBE_AGENT_HOST=host)

    assert ended.returncode == 1
    assert "PROBE_AGENT_HOST" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(("code", "status"), [(200, 0), (503, 1)])
def test_check_ends_with_the_agents_answer(
    loopback: Callable[[Answer], int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    code: int,
    status: int,
) -> None:
    """`check` asks at the agent's configured port, prints the line, and ends with the status of the answer."""
    port = loopback(lambda _path, _headers: http_answer(code, json.dumps(BODY).encode()))
    monkeypatch.setenv("PROBE_AGENT_PORT", str(port))

    assert main(["check"]) == status
    assert capfd.readouterr().out == "READY for 1 s: smollm2 answers. Nothing.\n"


def test_the_arguments_come_from_the_command_line(
    closed_port: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without arguments given, those of the process count; an agent that is not there is status 2."""
    monkeypatch.setattr(sys, "argv", ["probe-agent", "check", "--host", "localhost", "--port", str(closed_port)])

    assert main() == 2
    assert f"no probe-agent answers at localhost:{closed_port}" in capfd.readouterr().out


def test_check_with_a_bad_port_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in the environment that is no number ends with status 2, not with the 1 of "not ready"."""
    monkeypatch.setenv("PROBE_AGENT_PORT", "http")

    with pytest.raises(SystemExit) as end:
        main(["check"])
    assert end.value.code == 2
    assert "'http'" in capsys.readouterr().err


def test_check_imports_no_library(closed_port: int) -> None:
    """`check` starts for every health check of a container: it imports neither a server nor a client library."""
    script = (
        "import sys; from probe_agent.__main__ import main; main(['check']); "
        "print(*sorted({'httpx', 'ollama', 'starlette', 'uvicorn', 'pydantic', 'asyncio'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PROBE_AGENT_PORT": str(closed_port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert ended.stdout.splitlines()[1:] == [""]


def test_a_signal_before_the_server_ends_the_process(closed_port: int) -> None:
    """Until the server brings handlers of its own, a signal ends the process with status 0."""
    assert main(["check", "--port", str(closed_port)]) == 2
    with pytest.raises(SystemExit) as end:
        signal.raise_signal(signal.SIGTERM)
    assert end.value.code == 0
