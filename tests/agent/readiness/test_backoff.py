"""Thresholds and rates: when a streak is reported, when a reload may follow another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe_agent.readiness.backoff import Backoff, FailureStreak

PERIOD = 5.0
LONGEST = 300.0
CALM = 60.0


def limit() -> Backoff:
    """Return a limit with round numbers."""
    return Backoff(base=PERIOD, longest=LONGEST, calm=CALM)


def test_a_streak_counts_failures_of_any_kind() -> None:
    """Failures in a row are counted together, whatever their reasons."""
    streak = FailureStreak()

    for second, reason in enumerate(["refused", "refused", "timed out"]):
        streak.fail(reason, float(second))

    assert streak.count == 3


def test_equal_failures_are_silent() -> None:
    """A failure that repeats the last one's reason says nothing."""
    streak = FailureStreak()

    assert [streak.fail("refused", float(second)) for second in range(4)] == [None] * 4


def test_another_reason_sums_up_the_run_before() -> None:
    """A new reason ends the run of the old one with its count and its duration."""
    streak = FailureStreak()
    for second in (10.0, 11.0, 12.5):
        streak.fail("refused", second)

    assert streak.fail("timed out", 14.0) == "refused (3 times in 4.0 s)"


def test_success_sums_up_and_forgets() -> None:
    """A success returns the summary of the last run and begins at zero."""
    streak = FailureStreak()
    streak.fail("refused", 1.0)
    streak.fail("refused", 2.0)

    assert streak.end(3.0) == "refused (2 times in 2.0 s)"
    assert streak.count == 0
    assert streak.end(4.0) is None


def test_a_single_failure_is_summed_up_without_duration() -> None:
    """A failure that came alone happened once, in no time."""
    streak = FailureStreak()
    streak.fail("refused", 1.0)

    assert streak.end(3.0) == "refused (once)"


def test_success_without_failures_is_silent() -> None:
    """A success after a success has nothing to sum up."""
    assert FailureStreak().end(1.0) is None


def test_the_same_reason_after_a_success_is_a_new_run() -> None:
    """A streak that begins again does not inherit the duration of the one before."""
    streak = FailureStreak()
    streak.fail("refused", 1.0)
    streak.end(2.0)
    streak.fail("refused", 100.0)
    streak.fail("refused", 101.0)

    assert streak.end(102.0) == "refused (2 times in 2.0 s)"


@pytest.mark.parametrize(("failures", "summary"), [(1, None), (2, "refused (2 times in 5.0 s)")])
def test_what_was_told_already_is_not_summed_up(failures: int, summary: str | None) -> None:
    """With one failure of each run told by the caller, only a run of two or more has a summary."""
    streak = FailureStreak(logged=1)
    for _ in range(failures):
        streak.fail("refused", 0.0)

    assert streak.end(5.0) == summary


def test_the_first_reload_is_immediate() -> None:
    """Nothing stands before the first reload."""
    assert limit().is_calm(0.0)
    assert limit().wait(0.0) == 0.0


def test_waits_double_up_to_the_longest() -> None:
    """Each further reload in a row waits twice as long, and none longer than the longest."""
    reloads, now = limit(), 0.0
    waits = []
    for _ in range(9):
        waits.append(reloads.wait(now))
        now += waits[-1] + 1.0

    assert waits == [0.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_endless_trouble_does_no_harm() -> None:
    """After thousands of reloads in a row the wait is still the longest, and no number overflows."""
    reloads = limit()

    assert [reloads.wait(0.0) for _ in range(3000)][-1] == LONGEST


def test_a_calm_begins_the_count_anew() -> None:
    """After a calm without reloads the next one is immediate again."""
    reloads = limit()
    reloads.wait(0.0)
    reloads.wait(1.0)  # due at 6

    assert not reloads.is_calm(6.0 + CALM - 0.1)
    assert reloads.is_calm(6.0 + CALM)
    assert reloads.wait(6.0 + CALM) == 0.0


def test_after_a_long_wait_calm_means_twice_that_wait() -> None:
    """A reload that follows a long wait within twice that wait is still the same fight."""
    reloads = limit()
    for _ in range(6):
        last = reloads.wait(0.0)  # 0, 5, 10, 20, 40, 80

    assert last == 80.0
    assert not reloads.is_calm(last + CALM)
    assert reloads.is_calm(last + 2 * last)


@given(st.lists(st.integers(0, 30), max_size=300))
def test_no_pace_of_trouble_makes_a_fight(pauses: list[int]) -> None:
    """Whatever the pace, a wait stays in its bounds, and two reloads in a row are at least a period apart."""
    reloads, now, last = limit(), 0.0, float("-inf")
    for pause in pauses:
        now += pause
        wait = reloads.wait(now)
        assert 0.0 <= wait <= LONGEST
        assert now + wait - last >= min(PERIOD, CALM)
        last = now = now + wait
