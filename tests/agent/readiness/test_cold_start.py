"""The cold-start waterfall: phases, the gap, the rate of the load."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe_agent.readiness.cold_start import Phase, Waterfall

STEPS = [
    (Phase.PORT_OPEN, 10.1),
    (Phase.API_ANSWERS, 10.3),
    (Phase.MODEL_FETCHED, 10.32),
    (Phase.MODEL_VERIFIED, 10.35),
    (Phase.LOAD, 12.35),
    (Phase.FIRST_TOKEN, 12.5),
    (Phase.WARM_UP, 12.75),
    (Phase.READY, 12.75),
]


def climbed(steps: int = len(STEPS), loaded_bytes: int = 0) -> Waterfall:
    """Return a waterfall that started at 10 s and took the first `steps` steps."""
    waterfall = Waterfall.started(10.0)
    for phase, at in STEPS[:steps]:
        waterfall = waterfall.mark(phase, at, loaded_bytes=loaded_bytes if phase is Phase.LOAD else 0)
    return waterfall


def test_a_start_begins_with_the_agent() -> None:
    """At first the agent alone is up, and nothing else is known."""
    waterfall = Waterfall.started(10.0)

    assert waterfall.marks == ((Phase.AGENT_UP, 10.0),)
    assert waterfall.at(Phase.PORT_OPEN) is None
    assert waterfall.seconds(Phase.AGENT_UP) == 0.0
    assert str(waterfall) == ""


@pytest.mark.parametrize(
    ("phase", "took"),
    [
        (Phase.PORT_OPEN, 0.1),
        (Phase.API_ANSWERS, 0.2),
        (Phase.MODEL_FETCHED, 0.02),
        (Phase.MODEL_VERIFIED, 0.03),
        (Phase.LOAD, 2.0),
        (Phase.FIRST_TOKEN, 0.15),
        (Phase.WARM_UP, 0.25),
        (Phase.READY, 0.0),
    ],
)
def test_a_phase_takes_from_the_milestone_before(phase: Phase, took: float) -> None:
    """A phase lasts from the milestone before it to its own."""
    assert climbed().seconds(phase) == pytest.approx(took)


@pytest.mark.parametrize("phase", list(Phase)[4:])
def test_a_phase_not_reached_has_no_duration(phase: Phase) -> None:
    """What was not reached has neither time nor duration."""
    waterfall = climbed(3)

    assert (waterfall.at(phase), waterfall.seconds(phase)) == (None, None)


def test_the_gap_is_from_open_port_to_ready() -> None:
    """The gap is what a TCP probe would have let in: from the open port to READY."""
    assert climbed().gap_seconds == pytest.approx(2.65)


@pytest.mark.parametrize("steps", [0, 1, 6])
def test_there_is_no_gap_before_ready(steps: int) -> None:
    """Before READY the gap is not known."""
    assert climbed(steps).gap_seconds is None


def test_ready_without_an_open_port_has_no_gap() -> None:
    """Where nobody saw the port open, no gap is claimed."""
    assert Waterfall.started(0.0).mark(Phase.READY, 1.0).gap_seconds is None


def test_the_load_has_a_rate() -> None:
    """The rate is the bytes of the model's files over the seconds of the load."""
    assert climbed(loaded_bytes=98_000_000).load_bytes_per_second == pytest.approx(49e6)


@pytest.mark.parametrize(
    "waterfall",
    [
        climbed(),
        climbed(3, loaded_bytes=98_000_000),
        Waterfall.started(1.0).mark(Phase.LOAD, 1.0, loaded_bytes=98_000_000),
    ],
    ids=["sizes unknown", "not loaded yet", "no time passed"],
)
def test_a_rate_needs_bytes_and_time(waterfall: Waterfall) -> None:
    """Without sizes, before the load, or in no time at all there is no rate."""
    assert waterfall.load_bytes_per_second is None


def test_an_attempt_that_broke_off_is_forgotten() -> None:
    """A phase reached again drops what was marked after it, because that attempt came to nothing."""
    waterfall = climbed(6, loaded_bytes=7).mark(Phase.MODEL_VERIFIED, 20.0)

    assert [phase for phase, _ in waterfall.marks] == list(Phase)[:5]
    assert waterfall.at(Phase.MODEL_VERIFIED) == 20.0


def test_the_port_keeps_its_first_opening() -> None:
    """A port that opens again after a crash was still open for a TCP probe at the first time."""
    assert climbed(5).mark(Phase.PORT_OPEN, 20.0).at(Phase.PORT_OPEN) == 10.1


def test_after_ready_the_waterfall_is_fixed() -> None:
    """A reload later in the life of the instance does not change its cold start."""
    waterfall = climbed()

    assert all(waterfall.mark(phase, 99.0) is waterfall for phase in Phase)


def test_json_counts_from_the_agents_start() -> None:
    """In JSON, times are seconds since the agent's start, and unknown values are null."""
    assert climbed(1).as_json() == {
        "phases": [
            {"phase": "agent_up", "at_seconds": 0.0, "seconds": 0.0},
            {"phase": "port_open", "at_seconds": 0.1, "seconds": 0.1},
        ],
        "gap_seconds": None,
        "load_bytes_per_second": None,
    }


def test_json_of_a_whole_start_has_gap_and_rate() -> None:
    """A whole start shows every phase, the gap and the rate of the load."""
    shown = climbed(loaded_bytes=98_000_000).as_json()

    assert [entry["phase"] for entry in shown["phases"]] == list(Phase)
    assert shown["gap_seconds"] == 2.65
    assert shown["load_bytes_per_second"] == pytest.approx(49e6)


def test_the_log_line_has_every_phase_rate_and_gap() -> None:
    """The line at READY tells each phase, the load's rate and the gap that was closed."""
    text = str(climbed(loaded_bytes=98_000_000))

    assert text.startswith("port_open 0.100s · api_answers 0.200s · ")
    assert text.endswith(" · loaded at 49 MB/s · gap closed: 2.650s from open port to ready")


@given(st.lists(st.tuples(st.sampled_from(Phase), st.floats(0, 10))))
def test_any_order_of_marks_leaves_an_ordered_waterfall(steps: list[tuple[Phase, float]]) -> None:
    """Whatever is marked in whatever order, the phases stand once each, in order, from the agent's start."""
    waterfall, now = Waterfall.started(0.0), 0.0
    for phase, pause in steps:
        now += pause
        waterfall = waterfall.mark(phase, now)

    order = list(Phase)
    places = [order.index(phase) for phase, _ in waterfall.marks]
    assert all(before < after for before, after in itertools.pairwise(places))
    assert len(waterfall.as_json()["phases"]) == len(places)
