"""`ops quality` with a server that answers the same whatever its cache: nothing differs, and everything is kept."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import up_service
from lab.known import ROOT
from lab.servers import wait_until
from ops.__main__ import main


def test_each_type_is_asked_on_a_service_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """f16 twice and the other type once, each question to each; the table and the file say that all agree."""
    file = up_service.write(tmp_path, up_service.document())
    (tmp_path / "q.txt").write_text("One?\n\nTwo?\n")
    known = f"{sys.executable} {ROOT / 'lab' / 'known_server.py'} --service 0.05 --first 0.02"
    processes = ("--process", f"server={known}", "--process", f"agent={up_service.command('agent', '0')}")
    words = ("--types", "q4_0", "--questions", str(tmp_path / "q.txt"), "--up-options", shlex.join(processes))

    assert main(["quality", str(file), *words, "--model", "m", "--out", str(tmp_path / "out.json")]) == 0

    shown = capfd.readouterr().out
    assert shown.count("2 of 2  ") == 2  # in the table
    assert "f16 twice gave the same answers" in shown
    kept = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert list(kept["answers"]) == ["f16", "f16 again", "q4_0"]
    assert kept["answers"]["q4_0"] == kept["answers"]["f16"] == [("word " * 10)] * 2
    assert kept["agreement"]["q4_0"]["same_share"] == 1.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_the_service_too(number: signal.Signals, tmp_path: Path) -> None:
    """Whoever ends the command ends the server that it started; the status is a shell's for Ctrl-C."""
    file, told = up_service.write(tmp_path, up_service.document()), tmp_path / "pid"
    known = f"{sys.executable} {ROOT / 'lab' / 'known_server.py'} --service 300"
    server = shlex.join(("sh", "-c", f"echo $$ > {told}; exec {known}"))
    processes = ("--process", f"server={server}", "--process", f"agent={up_service.command('agent', '0')}")
    command = [sys.executable, "-m", "ops", "quality", str(file), "--model", "m", "--up-options", shlex.join(processes)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        wait_until(lambda: told.exists() and bool(told.read_text()), 30, "the server's start")
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == b"ops quality: interrupted; nothing more was measured\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


def test_a_signal_keeps_what_was_answered(tmp_path: Path) -> None:
    """Ended when its third service starts, the command shows and writes the two types that have answered, as a part."""
    file, told, out = up_service.write(tmp_path, up_service.document()), tmp_path / "pids", tmp_path / "out.json"
    (tmp_path / "q.txt").write_text("One?\nTwo?\n")
    known = f"{sys.executable} {ROOT / 'lab' / 'known_server.py'} --service 1"
    server = shlex.join(("sh", "-c", f"echo $$ >> {told}; exec {known}"))
    processes = ("--process", f"server={server}", "--process", f"agent={up_service.command('agent', '0')}")
    words = ("--questions", str(tmp_path / "q.txt"), "--model", "m", "--out", str(out))
    command = [sys.executable, "-m", "ops", "quality", str(file), *words, "--up-options", shlex.join(processes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: told.exists() and told.read_text().count("\n") == 3, 60, "the third server's start")
        process.send_signal(signal.SIGTERM)
        shown, error = process.communicate(timeout=30)
    kept = json.loads(out.read_text(encoding="utf-8"))
    assert process.returncode == 130
    assert error == f"ops quality: interrupted; what was answered so far is kept in {out}\n"
    assert "answers, held against f16 (partial: not every question was asked)" in shown
    assert "f16 again: 2 of 2 answered" in shown
    assert kept["failure"].startswith("interrupted")
    assert kept["agreement"]["f16 again"]["exact"] == 2
