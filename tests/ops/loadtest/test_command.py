"""`ops loadtest` against a server whose latency and capacity are known: the knee, percentiles, faults."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import RedirectResponse

from lab import up_service
from lab.known import ROOT, KnownServer
from lab.servers import LoopbackServer, closed_port, wait_until
from ops.__main__ import main

QUICK = ("--model", "m", "--duration", "0.6s", "--warmup", "0.1s", "--repetitions", "2", "--prompt-tokens", "8")
SLOTS, SERVICE = 4, 0.1
# What a busy machine may add; what is wrong is wrong by a factor of two. How exact it is, the benchmark measures.
BUSY = 0.4
TOKEN = "opensesame"  # noqa: S105 — of a server of this test


@pytest.fixture
def known() -> Iterator[str]:
    """A server of 4 slots, 100 ms each, the first token after 20 ms."""
    with KnownServer(slots=SLOTS, service=SERVICE) as server:
        yield server.url


def loadtest(url: str, out: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Run the command here; returns its exit status and the run's file."""
    status = main(["loadtest", "run", url, *QUICK, "--out", str(out), *more])
    return status, json.loads((out / "run.json").read_text(encoding="utf-8"))


def figure(run: dict[str, Any], level: float, name: str) -> float:
    """Return a figure of the run at a load."""
    found = next(step for step in run["steps"] if step["load"]["level"] == level)["figures"][name]["value"]
    assert isinstance(found, float)
    return found


@pytest.mark.parametrize("api", ["native", "openai"])
def test_a_closed_loop_finds_the_slots(api: str, known: str, tmp_path: Path) -> None:
    """Throughput stops growing at 4 at once, and that is the choice; what is past it twice is not run."""
    status, run = loadtest(known, tmp_path, "--concurrency", "1,4,8,16,32,64", "--api", api, "--repetitions", "1")
    assert status == 0
    assert run["conclusion"]["chosen"]["containerConcurrency"] in (SLOTS, 2 * SLOTS)  # within one step
    assert figure(run, 4, "requests_per_second") == pytest.approx(SLOTS / SERVICE, rel=BUSY)
    assert figure(run, 8, "e2e_p50") == pytest.approx(2 * SERVICE, rel=BUSY)
    assert run["steps"][-1]["skipped"] == "past saturation"


def test_the_queue_inside_the_server_is_seen(known: str, tmp_path: Path) -> None:
    """With twice as many as slots each request waits one service time in Ollama's queue, by its own durations."""
    _, run = loadtest(known, tmp_path, "--concurrency", "4,8")
    assert figure(run, 4, "server_queue_p50") == pytest.approx(0, abs=BUSY * SERVICE)
    assert figure(run, 8, "server_queue_p50") == pytest.approx(SERVICE, rel=BUSY)


def test_an_open_loop_finds_the_capacity(known: str, tmp_path: Path) -> None:
    """40 a second is all: 30 is taken, 120 is past saturation, is stopped and never chosen; more is not tried."""
    status, run = loadtest(known, tmp_path, "--rates", "15,30,120,200", "--duration", "3s", "--repetitions", "1")
    assert status == 0
    assert run["conclusion"]["chosen"]["load"]["level"] == 30
    assert run["steps"][2]["stopped"].startswith("saturated")
    assert run["steps"][3]["skipped"] == "past saturation"


def test_an_open_loop_measures_the_rule_of_thumb_too(
    known: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its value is requests at once: one closed step, which stands beside the choice and is none itself."""
    status, run = loadtest(known, tmp_path, "--rates", "15,30", "--parallel", "4", "--repetitions", "1")
    assert status == 0
    assert [tuple(step["load"].values()) for step in run["steps"]] == [("open", 15), ("open", 30), ("closed", 8)]
    assert run["conclusion"]["chosen"]["load"]["loop"] == "open"
    assert run["conclusion"]["rule_of_thumb"][0]["measured"]
    assert "gives 8 (1 × 4 + 1 × 4 = 8): there it made" in capfd.readouterr().out


def test_a_limit_that_nothing_meets_ends_in_a_report_that_says_so(
    known: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1; the figures are there, and so is the reason."""
    status, run = loadtest(known, tmp_path, "--concurrency", "1", "--slo", "ttft_p95=1ms")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert status == 1
    assert run["conclusion"]["chosen"] is None
    assert "even 1 at once breaks ttft_p95=1ms" in capfd.readouterr().out
    assert "even 1 at once breaks ttft_p95=1ms" in page
    assert "Every load" in page


def refused(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must fail without a traceback; returns its one line."""
    assert main(["loadtest", *words]) in (1, 2)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_no_server_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Who, what, and what to do."""
    with closed_port() as port:
        url = f"http://127.0.0.1:{port}"
        line = refused(capfd, "run", url, *QUICK, "--out", str(tmp_path))
    assert line.startswith(f"ops loadtest run: {url}/api/chat: the first request failed: no connection")
    assert not list(tmp_path.iterdir())  # nothing was measured, so there is no run
    assert "is the service up" in line


def test_a_wrong_model_is_one_line(known: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The server's own words, and where to look."""
    line = refused(capfd, "run", known, *QUICK, "--model", "other", "--out", str(tmp_path))
    assert "404 (model 'other' not found)" in line
    assert "correct --model" in line


def test_a_redirection_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Followed it would be another request to another service: the line names the address to give instead."""
    with LoopbackServer(RedirectResponse("https://elsewhere.invalid/", 302)) as url:
        line = refused(capfd, "run", url, *QUICK, "--out", str(tmp_path))
    assert "answered 302 and points to https://elsewhere.invalid/" in line


def test_a_missing_token_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What the server answered, and how to get a token; with the right one it goes."""
    with KnownServer(token=TOKEN) as server:
        line = refused(capfd, "run", server.url, *QUICK, "--out", str(tmp_path / "a"))
        (tmp_path / "token").write_text(TOKEN)
        given = ("--token-file", str(tmp_path / "token"), "--concurrency", "1")
        status, run = loadtest(server.url, tmp_path / "b", *given)
    assert "answered 401 (unauthorized)" in line
    assert "gcloud auth print-identity-token" in line
    assert status == 0
    assert TOKEN not in json.dumps(run)


def test_an_expired_token_keeps_what_was_measured(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The run ends in one line and in a report of the repetitions that were whole, which says why there are no more."""
    with KnownServer(expires_after=40) as server:
        status, run = loadtest(server.url, tmp_path, "--concurrency", "1,2,4,8")
    assert status == 1
    assert "401" in run["failure"]
    assert run["steps"][0]["repetitions"][0]["stopped"] is None
    assert "The run was broken off" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(capfd.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["http://h", "--prompts", "/nowhere.jsonl"], "--prompts /nowhere.jsonl: cannot be read (No such file"),
        (
            ["http://h", "--prompts", "x", "--answer-tokens", "uniform:1,9"],
            "--answer-tokens uniform:1,9: with --prompts",
        ),
        (["http://h", "--parallel", "1,2"], "--parallel takes several values only with --up"),
        (["http://h", "--set", "A=b"], "--set and --up-options are for a service that --up starts"),
        (["--up", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        (["--up", "service.yaml", "--set", "OLLAMA_NUM_PARALLEL=2"], "use --parallel"),
        (["http://h", "--token-env", "NOT_SET_HERE"], "the variable NOT_SET_HERE is empty or unset"),
        (["http://h", "--token-command", "false"], "--token-command 'false' ended with 1"),
        (["http://h", "--token-env", "A", "--token-file", "b"], "give one of them"),
        ([], "which service? Give its URL, or --up FILE"),
        (["http://h", "--up", "service.yaml"], "URL and --up: give one of them"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing is sent, and the line says what to change."""
    assert complaint in refused(capfd, "run", *words, *QUICK, "--out", str(tmp_path))


def test_failing_requests_are_told_by_kind(tmp_path: Path) -> None:
    """Half of the requests fail: counted by kind, not among the latencies, and the step is no choice."""
    with KnownServer(fail_share=0.3) as server:
        status, run = loadtest(server.url, tmp_path, "--concurrency", "4")
    step = run["steps"][0]
    assert status == 1
    assert step["errors"].keys() == {"HTTP 500"}
    assert 0.1 < step["figures"]["error_share"]["value"] < 0.6
    assert figure(run, 4, "e2e_p50") == pytest.approx(SERVICE, rel=BUSY)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_keeps_what_was_measured(known: str, tmp_path: Path) -> None:
    """Interrupted in its second round, a run has the first, and a report of it."""
    command = [sys.executable, "-m", "ops", "loadtest", "run", known, *QUICK, "--concurrency", "1,4"]
    file = tmp_path / "run.json"

    def steps() -> list[Any]:
        return list(json.loads(file.read_text(encoding="utf-8"))["steps"]) if file.exists() else []

    with subprocess.Popen(
        [*command, "--out", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_until(
            lambda: len(steps()) > 1 and all(step["repetitions"] for step in steps()),
            30,
            "the first repetition of both steps",
        )
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error.decode() == f"ops loadtest run: interrupted; what was measured is kept in {tmp_path}\n"
    assert (tmp_path / "report.html").exists()
    assert all(step["repetitions"][0]["stopped"] is None for step in steps())


def test_two_runs_are_compared(known: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A server that takes half as long differs beyond noise, in the table and in the file."""
    thrice = ("--concurrency", "1", "--repetitions", "3")
    loadtest(known, tmp_path / "a", *thrice)
    with KnownServer(slots=SLOTS, service=SERVICE / 2) as server:
        loadtest(server.url, tmp_path / "b", *thrice)
    files = [str(tmp_path / name / "run.json") for name in "ab"]
    assert main(["loadtest", "compare", *files, "--json", str(tmp_path / "c.json")]) == 0
    shown = capfd.readouterr().out
    assert "differs" in shown
    assert f"first: {known}\nsecond: {server.url}\nthe same settings\n" in shown
    found = {each["figure"]: each for each in json.loads((tmp_path / "c.json").read_text())["figures"]}
    assert found["e2e_p50"]["beyond_noise"]
    assert found["e2e_p50"]["ratio"] == pytest.approx(0.5, rel=BUSY)


def test_a_report_is_written_anew_with_other_limits(known: str, tmp_path: Path) -> None:
    """What was measured can be judged again without measuring it again."""
    loadtest(known, tmp_path, "--concurrency", "2,8")
    assert main(["loadtest", "report", str(tmp_path / "run.json"), "--slo", "e2e_p95=50ms"]) == 1
    assert "breaks e2e_p95=50ms" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_run_of_another_name_keeps_it(known: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A report goes back to the file that it is of; no other run beside it is touched."""
    loadtest(known, tmp_path, "--concurrency", "1")
    alone = tmp_path / "b" / "A.json"
    alone.parent.mkdir()
    alone.write_bytes((tmp_path / "run.json").read_bytes())
    assert main(["loadtest", "report", str(alone)]) == 0
    assert {each.name for each in alone.parent.iterdir()} == {"A.json", "report.html", "plots"}
    (other := tmp_path / "A.json").write_text(json.dumps(json.loads(alone.read_text()) | {"label": "other"}))
    before = (tmp_path / "run.json").read_bytes()
    capfd.readouterr()
    assert "run.json: is another run" in refused(capfd, "report", str(other))
    assert (tmp_path / "run.json").read_bytes() == before


def test_prompts_of_a_file_are_replayed(known: str, tmp_path: Path) -> None:
    """The file's checksum stands in the run, so that two runs can be compared."""
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hello"}\n')
    status, run = loadtest(known, tmp_path / "out", "--concurrency", "1", "--prompts", str(tmp_path / "p.jsonl"))
    assert status == 0
    assert len(run["settings"]["prompts_sha256"]) == 64


def test_an_existing_run_is_not_written_over(known: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder that holds a run is refused."""
    loadtest(known, tmp_path, "--concurrency", "1")
    assert "is there already" in refused(capfd, "run", known, *QUICK, "--out", str(tmp_path))


def containers(server: str = "") -> tuple[str, str]:
    """Return the option that runs the known server as Ollama, with the slots that it is told, and a fake agent."""
    known = f"{sys.executable} {ROOT / 'lab' / 'known_server.py'} --service {SERVICE}"
    words = ("--process", f"server={server or known}", "--process", f"agent={up_service.command('agent', '0')}")
    return "--up-options", shlex.join(words)


def test_a_local_service_is_started_for_each_number_of_slots(tmp_path: Path) -> None:
    """Each setting is a service of its own; the better one is chosen, and the rule of thumb's load stands beside it."""
    file = up_service.write(tmp_path, up_service.document())
    sweep = ("--parallel", "1,4", "--concurrency", "1,4", "--repetitions", "1", "--out", str(tmp_path / "out"))
    status = main(["loadtest", "run", "--up", str(file), *containers(), *QUICK, *sweep])
    run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert status == 0
    chosen = run["conclusion"]["chosen"]
    assert chosen["OLLAMA_NUM_PARALLEL"] == 4
    assert chosen["containerConcurrency"] in (4, 8)  # within one step: a busy machine blurs the last percents
    levels = [(step["parallel"], step["load"]["level"]) for step in run["steps"]]
    assert levels == [(1, 1), (1, 2), (1, 4), (4, 1), (4, 4), (4, 8)]
    assert all(rule["measured"] for rule in run["conclusion"]["rule_of_thumb"])


def test_a_local_service_that_does_not_start_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """What `ops up` said last is the reason."""
    file = up_service.write(tmp_path, up_service.document())
    words = (*containers(server="false"), *QUICK, "--out", str(tmp_path / "out"))
    line = refused(capfd, "run", "--up", str(file), *words)
    assert "ops up did not start; it said: ops up:" in line
