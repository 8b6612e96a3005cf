"""What the benchmarks' figures rest on: order statistics, and the reading of the servers' witnesses."""

import json
from pathlib import Path

import pytest
from benchmarks import __main__ as command
from benchmarks import sample, servers
from benchmarks.process import Line
from benchmarks.result import Result, Target


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
