"""What benchmarks share: statistics, the servers' records of their answers, and results."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lab.measuring import sample
from lab.measuring.precondition import NotHereError, real_ollama
from lab.measuring.result import Result, Target


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


def test_ollama_without_a_runner_of_its_own_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An old Ollama, or one that was copied alone, is found out before anything is baked."""
    (binary := tmp_path / "bin" / "ollama").parent.mkdir()
    binary.write_text("#!/bin/sh\n")
    binary.chmod(0o755)
    monkeypatch.setenv("OLLAMA_BIN", str(binary))
    with pytest.raises(NotHereError, match=r"from 0\.30 on, with its .*/lib/ollama/llama-server"):
        real_ollama()


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


def test_what_is_not_measured_here_has_a_row_and_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A claim that this machine cannot measure is told on the screen and in the file, and fails nothing."""
    partial = replace(result(1.0), not_here={"another claim": "no moon"})
    partial.show(Console(width=200))
    assert re.search("another claim .* not measured here: no moon", capsys.readouterr().out)
    assert json.loads(partial.write(tmp_path).read_text())["not_measured_here"] == {"another claim": "no moon"}
    assert partial.met


@pytest.mark.parametrize(("measured", "met"), [(5.0, True), (5.1, False)])
def test_a_result_is_met_when_each_target_is(measured: float, met: bool) -> None:
    """A value at the limit meets the target."""
    assert result(measured).met is met
