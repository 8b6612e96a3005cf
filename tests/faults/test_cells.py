"""The judge of the fault matrix: what must not be is complained of, and nothing else."""

from typing import Any

import pytest

from lab.faults.cells import (
    EXITED,
    KEPT_BYTES,
    KILLED,
    Calm,
    Cell,
    Fault,
    Outcome,
    Proof,
    S,
    Sample,
    changes,
    complaints,
)

NOT_READY = Sample(0.0, "LOADING", 503, 200, 503)
READY = Sample(0.0, "READY", 200, 200, 200)
LOST = Sample(0.0, "LOADING", 503, 200, 200)
SILENT = Sample(0.0, None, None, None, None)


def outcome(state: S, fault: Fault, *said: Sample, ended: str = S.READY, back: float = 0, **more: Any) -> Outcome:
    """Return what a run showed that said this, half a second apart, for five seconds; the last is after the fault."""
    samples = [said[min(place, len(said) - 1)]._replace(at=place / 2) for place in range(11)]
    return Outcome(Cell(state, fault), samples, 0.6, 5.0, ended, back, **more)


@pytest.mark.parametrize(
    "found",
    [
        outcome(S.LOADING, Fault.HANG, NOT_READY),
        outcome(S.READY, Fault.HANG, READY, READY, LOST),
        outcome(S.READY, Fault.RUNNER_KILLED, READY, fell=["READY -> LOADING: the runner was gone"]),
        outcome(S.READY, Fault.HANG, LOST, fell=["READY -> LOADING: no answer (2 failures in a row)"]),
        outcome(S.READY, Fault.CLOCK_JUMP, READY, calm=Calm(falls=1)),
        outcome(S.READY, Fault.CLOCK_JUMP, READY),
        outcome(S.READY, Fault.STALL, SILENT),
        outcome(S.READY, Fault.EMFILE, SILENT),
        outcome(S.READY, Fault.HANG, READY, LOST, SILENT, LOST),
        outcome(S.FAILED, Fault.HANG, NOT_READY, ended=S.FAILED),
        outcome(S.STOPPING, Fault.HANG, READY, SILENT, ended=EXITED, back=1),
    ],
)
def test_what_may_be_is_not_complained_of(found: Outcome) -> None:
    """A cell as it should be has no complaint."""
    assert list(complaints(found)) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (outcome(S.LOADING, Fault.HANG, NOT_READY, READY._replace(startup=503)), "no model was loaded"),
        (outcome(S.READY, Fault.HANG, READY), "the model did not serve"),
        (outcome(S.READY, Fault.RUNNER_KILLED, READY), "although the runner was gone"),
        (outcome(S.STOPPING, Fault.HANG, READY, ended=EXITED), "after SIGTERM"),
        (outcome(S.LOADING, Fault.HANG, NOT_READY._replace(startup=200)), "startupz said 200"),
        (outcome(S.READY, Fault.HANG, LOST._replace(startup=503)), "startupz said 503"),
        (outcome(S.READY, Fault.STALL, READY), "while the event loop stood still"),
        (outcome(S.LOADING, Fault.HANG, NOT_READY._replace(live=503), NOT_READY), "livez said 503"),
        (outcome(S.LOADING, Fault.HANG, SILENT), "livez did not answer"),
        (outcome(S.LOADING, Fault.HANG, NOT_READY, ended=S.LOADING), "it ended LOADING, expected READY"),
        (outcome(S.FAILED, Fault.HANG, NOT_READY), "it ended READY, expected FAILED"),
        (outcome(S.STOPPING, Fault.HANG, SILENT, ended=KILLED), "expected exit 0"),
        (outcome(S.STOPPING, Fault.HANG, SILENT, ended=EXITED, back=9), "the end took 9.0 s"),
        (outcome(S.READY, Fault.HANG, LOST, fell=["READY -> LOADING: (5 failures in a row)"]), "given up after 5"),
        (outcome(S.READY, Fault.HANG, LOST, proof=Proof(listed=False)), "no model was loaded"),
        (outcome(S.READY, Fault.HANG, LOST, proof=Proof(answered=False)), "the model did not answer"),
        (outcome(S.READY, Fault.HANG, LOST, proof=Proof(reloaded=True)), "had to load the model"),
        (outcome(S.READY, Fault.CLOCK_JUMP, READY, calm=Calm(checks=0)), "0 checks of the model"),
        (outcome(S.READY, Fault.HANG, LOST, calm=Calm(falls=2)), "fell 2 times"),
        (outcome(S.READY, Fault.STALL, *[SILENT] * 10, READY._replace(live=503)), "livez said 503 after the fault"),
        (outcome(S.READY, Fault.HUGE, LOST, grown_bytes=KEPT_BYTES + 1), "of an answer"),
    ],
)
def test_what_must_not_be_is_complained_of(found: Outcome, words: str) -> None:
    """Each thing that must not be has its own complaint, and no other comes with it."""
    told = list(complaints(found))
    assert len(told) == 1
    assert words in told[0]


def test_only_changes_are_kept() -> None:
    """Of equal samples in a row the first one is kept."""
    found = outcome(S.READY, Fault.HANG, READY, READY, LOST)
    assert [str(sample) for sample in changes(found.samples)] == ["0.00 READY 200 200 200", "1.00 LOADING 503 200 200"]
