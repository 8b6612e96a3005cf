"""From records to figures: percentiles, intervals, throughput, queue wait."""

import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from ops.loadtest import figures, limits, statistics
from ops.loadtest.loads import Load, Loop
from ops.loadtest.record import INTERRUPTED, Record, Repetition, Step

RECORD = Record(1.0, 1.25, 3.0, 1.5, 2.9, 8, 15, None, "", 1.75, 0.25, 0.25, 1.0)
times = st.floats(0, 1000, allow_nan=False)
maybe, tokens, error = st.none() | times, st.none() | st.integers(0, 9), st.none() | st.just("cut")


def steady(users: int, service: float, seconds: float, first: float = 0.25, tokens: int = 10) -> Repetition:
    """Return what `users` in a closed loop see who each have a slot of their own."""
    records = []
    for number in range(int(seconds / service) + 1):
        at = number * service
        done = at + service
        records += [Record(at, at, done, at + first * service, done, 8, tokens)] * users
    return Repetition(tuple(records), service * 1.5, seconds - service * 1.5)


def test_latencies_count_from_the_intended_instant() -> None:
    """A request that the tester sent late has waited, and its wait is in every latency (no coordinated omission)."""
    assert (RECORD.ttft, RECORD.e2e) == (0.5, 2.0)
    assert RECORD.tpot == pytest.approx(0.1)


def test_the_queue_wait_is_what_ollama_does_not_explain() -> None:
    """Total less load, prompt and answer is the wait inside; what its total leaves of the whole was outside."""
    assert (RECORD.server_queue, RECORD.outside) == (0.25, 0.0)
    assert structs.replace(RECORD, end=3.5).outside == 0.5
    assert structs.replace(RECORD, total_seconds=None).server_queue is None


@given(st.lists(times, min_size=1), st.sampled_from([0, 1, 50, 95, 99, 100]))
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float) -> None:
    """At least so many of the values are at most the percentile, and it is one that was measured."""
    found = statistics.percentile(values, percent)
    assert found in values
    assert sum(value <= found for value in values) >= percent / 100 * len(values) - 1e-9


@given(st.integers(0, 50), st.integers(1, 50))
def test_the_interval_of_a_share_holds_it(part: int, more: int) -> None:
    """It lies within 0 and 1, holds the share, and is no point even at 0."""
    low, high = statistics.share_interval(part, part + more)
    assert 0 <= low <= part / (part + more) <= high <= 1
    assert low < high


@pytest.mark.parametrize("drift", [0.0, 0.05, 0.1])
def test_nineteen_percentiles_of_twenty_are_in_their_interval(drift: float) -> None:
    """With three repetitions on a machine whose pace drifts between them, at least 94 % hold the truth.

    Drawn from so few repetitions alone, without Student's t, the intervals held about 80 % of them.
    """
    percents, seeds = (50, 95), 200
    crowd = np.random.default_rng(0)
    paces = crowd.lognormal(0, drift, 200_000)
    truth = np.percentile(paces * (1 + crowd.exponential(1, 200_000)), percents)
    held = np.zeros(2)
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        series = [(draw.lognormal(0, drift) * (1 + draw.exponential(1, 80))).tolist() for _ in range(3)]
        for number, bounds in enumerate(statistics.percentile_intervals(series, percents, 5, seed)):
            assert bounds is not None
            held[number] += bounds[0] <= truth[number] <= bounds[1]
    assert min(held) >= 0.94 * seeds


@pytest.mark.parametrize(("freedom", "confidence", "known"), [(2, 0.95, 4.3027), (4, 0.99, 4.6041), (30, 0.95, 2.0423)])
def test_students_t_is_that_of_the_tables(freedom: int, confidence: float, known: float) -> None:
    """The quantile, both sides, as any table of it has it."""
    assert statistics.student_t(freedom, confidence) == pytest.approx(known, rel=1e-3)


def test_nineteen_throughputs_of_twenty_are_in_their_interval() -> None:
    """Of many runs on a machine whose pace drifts between repetitions, about 95 % hold the true rate."""
    held = 0
    for seed in range(300):
        draw = random.Random(seed)  # noqa: S311 — the same
        found = figures.of([steady(2, 0.7 * draw.lognormvariate(0, 0.05), 20) for _ in range(3)], ())
        low, high = (found["requests_per_second"].low, found["requests_per_second"].high)
        assert low is not None
        assert high is not None
        held += low <= 2 / 0.7 <= high
    assert 273 <= held <= 297


@pytest.mark.parametrize("name", ["tokens_per_second", "e2e_p50"])
def test_two_repetitions_have_no_interval(name: str) -> None:
    """They say too little of how repetitions differ."""
    found = figures.of([steady(2, 0.7, 20), steady(2, 0.71, 20)], ())
    assert (found[name].low, found[name].high) == (None, None)


def test_repetitions_that_differ_widen_a_percentile() -> None:
    """Three repetitions at three paces are three samples, however many requests each has."""
    alike, apart = (
        figures.of([steady(2, 0.7 * pace, 40) for pace in paces], ())["e2e_p50"]
        for paces in ((1.0, 1.0, 1.0), (0.8, 1.0, 1.2))
    )
    assert alike.low == pytest.approx(0.7)
    assert alike.high == pytest.approx(0.7)
    half = statistics.student_t(2, 0.95) * 0.14 / 3**0.5
    assert apart.low == pytest.approx(0.7 - half)
    assert apart.high == pytest.approx(0.7 + half)


def test_waiting_for_each_other_widens_an_interval() -> None:
    """Requests that come and go together are resampled together: they are worth one, not many."""
    draw = random.Random(1)  # noqa: S311 — the same
    series = [[value for _ in range(30) for value in [draw.gauss(1, 0.2)] * 8]]
    by_block, one_by_one = (statistics.resampled(series, length, 1) for length in (8, 1))
    assert by_block is not None
    assert one_by_one is not None
    assert by_block.mean(axis=1).std() > 1.5 * one_by_one.mean(axis=1).std()


def test_too_few_requests_have_no_interval() -> None:
    """Five blocks say nothing: better no interval than one that looks sure."""
    assert statistics.resampled([[1.0] * 5], 1, 1) is None
    assert statistics.percentile_intervals([[1.0]] * 3, (50, 99), 1, 1) == [None, None]


def test_a_percentile_that_next_to_none_exceed_has_no_interval() -> None:
    """Of 399 requests not four are beyond the 99th percentile: its bounds would seldom hold the true one."""
    few, enough = (statistics.percentile_intervals([[1.0] * each] * 3, (95, 99), 1, 1) for each in (133, 134))
    assert few == [(1.0, 1.0), None]
    assert enough == [(1.0, 1.0), (1.0, 1.0)]


@pytest.mark.parametrize(("users", "seconds"), [(1, 10.0), (3, 10.3), (8, 9.7)])
def test_throughput_is_exact_for_a_steady_load(users: int, seconds: float) -> None:
    """Whatever a window's edges cut, users over service time come out."""
    found = figures.of([steady(users, 0.7, seconds)], ())
    assert found["requests_per_second"].value == pytest.approx(users / 0.7, rel=0.02)
    assert found["tokens_per_second"].value == pytest.approx(users * 10 / 0.7, rel=0.02)
    assert found["in_flight_mean"].value == pytest.approx(users, rel=0.01)


def test_a_backlog_that_grows_is_told_from_one_that_is_there() -> None:
    """Half of what comes is left undone, surely; a steady service leaves nothing undone, within chance."""
    steady_ = figures.unserved([steady(8, 0.7, 30)])
    records = tuple(Record(n / 10, n / 10, n / 5, n / 5 - 0.1, n / 5, 8, 10) for n in range(300))
    behind = figures.unserved([Repetition(records, 5.0, 30.0)])
    assert steady_.low is not None
    assert steady_.low <= 0.0
    assert behind.value == pytest.approx(0.5, abs=0.03)
    assert behind.low is not None
    assert behind.low > 0.3


def test_warm_up_is_discarded() -> None:
    """What was meant to go out before the window begins is in no percentile."""
    repetition = steady(1, 1.0, 20)
    slow = Repetition(
        (Record(0.0, 0.0, 99.0, 98.0, 99.0, 8, 10), *repetition.records), repetition.begin, repetition.end
    )
    assert figures.of([slow], ())["e2e_p99"].value == pytest.approx(1.0)


def test_failures_are_counted_and_do_not_improve_latency() -> None:
    """A fast refusal is an error by its kind, and no fast answer."""
    repetition = steady(1, 1.0, 20)
    failed = tuple(
        structs.replace(record, error="refused (503)", end=record.sent) for record in repetition.records[:10]
    )
    both = Repetition(repetition.records + failed, 0.0, 20.0)
    found = figures.of([both], ())
    assert found["e2e_p50"].value == pytest.approx(1.0)
    assert found["error_share"].value == pytest.approx(1 / 3, abs=0.02)
    assert figures.errors([both]) == {"refused (503)": 10}


def test_a_limit_holds_for_those_who_wait_in_vain_too() -> None:
    """With a tenth of time-outs the 95th percentile is endless, whatever the others took; the median holds."""
    repetition = steady(1, 1.0, 100)
    lost = [structs.replace(r, error="time-out") if n % 10 == 0 else r for n, r in enumerate(repetition.records)]
    late, median = limits.parse("e2e_p95=2s"), limits.parse("e2e_p50=2s")
    found = figures.of([replace(repetition, records=tuple(lost))] * 3, (late, median))
    assert found["e2e_p95"].value == pytest.approx(1.0)
    assert limits.broken(found, (late, median)) == [late]
    assert found["e2e_p50_of_all"].high == pytest.approx(1.0)


def test_goodput_counts_what_holds_every_limit() -> None:
    """Answers beyond a limit are throughput, and no goodput."""
    fast, slow = steady(1, 1.0, 20), steady(1, 1.0, 20, first=0.9)
    bound = (limits.parse("ttft_p95=500ms"),)
    assert figures.of([fast], bound)["goodput"].value == pytest.approx(1.0, rel=0.02)
    assert figures.of([slow], bound)["goodput"].value == 0.0
    assert figures.of([fast, slow], bound)["goodput"].value == pytest.approx(0.5, rel=0.02)


@given(st.lists(st.builds(Record, times, times, times, maybe, maybe, tokens, st.integers(0, 9), error), max_size=5))
def test_a_step_comes_back_from_its_file(records: list[Record]) -> None:
    """What is written as JSON is read as it was."""
    before = Step(4, Load(Loop.CLOSED, 8.0), [Repetition(tuple(records), 1.0, 9.0)])
    assert msgspec.json.decode(msgspec.json.encode(before), type=Step) == before


def test_a_repetition_that_was_broken_off_counts_only_alone() -> None:
    """Beside whole ones it is left out; alone it is better than nothing, and says that it is broken."""
    whole, broken = steady(1, 1.0, 20), replace(steady(1, 1.0, 20), stopped=INTERRUPTED)
    load = Load(Loop.CLOSED, 1.0)
    assert (Step(1, load, [whole, broken]).usable, Step(1, load, [whole, broken]).stopped) == ([whole], None)
    assert (Step(1, load, [broken]).usable, Step(1, load, [broken]).stopped) == ([broken], INTERRUPTED)
