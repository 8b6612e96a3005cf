"""The matrix: every state of the agent's machine against every fault, and what a run of one cell must show. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import cycle, pairwise
from typing import Any, NamedTuple

from lab.faults.proxy import WireFault
from probe_agent.readiness.states import ReadinessState


class Fault(StrEnum):
    """What goes wrong. The first ones are the wire's; the last four are in the agent's own process."""

    REFUSE = "refuse"
    RESET = "reset"
    HANG = "hang"
    SLOW_BYTES = "slow bytes"
    CLIENT_ERROR = "4xx"
    SERVER_ERROR = "5xx"
    TRUNCATED = "truncated body"
    NOT_JSON = "non-JSON"
    HUGE = "huge body"
    PROCESS_KILLED = "process killed"
    PROCESS_STOPPED = "process stopped"
    RUNNER_KILLED = "runner killed"
    RUNNER_STOPPED = "runner stopped"
    DISK_FULL = "disk full"
    CLOCK_JUMP = "clock jump"
    DNS_FAILURE = "DNS failure"
    EMFILE = "EMFILE"
    STALL = "event-loop stall"


S = ReadinessState
ON_THE_WIRE = {Fault(fault.value): fault for fault in WireFault}
THE_RUNNERS = {Fault.RUNNER_KILLED, Fault.RUNNER_STOPPED}
# With these the model goes on serving: readiness may stay, or fall because the agent cannot see.
HARMLESS = {Fault.DISK_FULL, Fault.CLOCK_JUMP, Fault.DNS_FAILURE, Fault.EMFILE, Fault.STALL}
# With these the agent itself is stuck: it cannot run, or cannot accept a connection.
STUCK = {Fault.EMFILE, Fault.STALL}
# The wire, Ollama, its runner, what the agent stands on.
KINDS = (
    (*ON_THE_WIRE,),
    (Fault.PROCESS_KILLED, Fault.PROCESS_STOPPED),
    (*sorted(THE_RUNNERS),),
    (Fault.DISK_FULL, Fault.CLOCK_JUMP, Fault.DNS_FAILURE, Fault.EMFILE, Fault.STALL),
)
NO_RUNNER = {
    S.UNREACHABLE: "nothing was loaded yet: there is no runner",
    S.VERIFYING: "nothing was loaded yet: there is no runner",
    S.FETCHING: "the model is still to come: there is no runner",
    S.FAILED: "the model was refused before a load: there is no runner",
}
# Beyond the promised time, for a machine that runs several cells and other work at once.
BUSY_SECONDS = 2.0
# Longest way back to READY: the library that downloads waits up to some seconds between two tries.
MENDED_SECONDS = 30.0
# From SIGTERM to the end: the platform kills after ten. The agent takes one at the most, a busy machine the rest.
EXIT_SECONDS = 8.0
# Of the agent's last words, kept where something showed that must not be.
LOG_CHARACTERS = 3000
# From SIGTERM on nothing is ready; a busy machine may take this long to let the agent hear it.
HEARD_SECONDS = 1.0
# Failures in a row at which the agent gives a server up: the setting of every agent here.
THRESHOLD = 2
# So many more checks of the model prove that the watch goes on.
CALM_CHECKS = 3
# Longest wait for them; they take a period each.
CALM_SECONDS = 10.0
# The agent's memory may grow so much by any answer: far less than the sidecar's limit.
KEPT_BYTES = 64 << 20


class Cell(NamedTuple):
    """One state and one fault."""

    state: ReadinessState
    fault: Fault

    @property
    def no_sense(self) -> str:
        """Why this cell cannot be; empty when it can."""
        return NO_RUNNER.get(self.state, "") if self.fault in THE_RUNNERS else ""


CELLS = [Cell(state, fault) for state in S for fault in Fault]
# Here the warm-up was answered before the runner died, and the wire lets go of the answers after: no proof is younger
# than its answer, so the agent is READY until its first check.
DEAD_BEHIND_ITS_ANSWERS = Cell(S.WARMING, Fault.RUNNER_KILLED)
# A real Ollama takes seconds for each: the state that serves, and the one that takes longest.
REAL_CELLS = [cell for cell in CELLS if cell.state in (S.READY, S.LOADING)]


def covering() -> list[Cell]:
    """Return a part of the matrix with every fault, every state, and every pair of a state and a kind of fault.

    READY meets every fault, because only a READY agent can mislead traffic. Each other state meets one fault of each
    kind; from state to state the faults of a kind take turns.
    """
    chosen = [Cell(S.READY, fault) for fault in Fault]
    for kind in KINDS:
        states = [state for state in S if state is not S.READY and not Cell(state, kind[0]).no_sense]
        chosen += [Cell(state, fault) for state, fault in zip(states, cycle(kind), strict=False)]
    return chosen


class Sample(NamedTuple):
    """What the endpoints said at `at`, seconds since the fault began; None is no answer within a second."""

    at: float
    state: str | None
    ready: int | None
    live: int | None
    startup: int | None

    def __str__(self) -> str:
        codes = " ".join(str(code or "-") for code in self[2:])
        return f"{self.at:.2f} {self.state or '-'} {codes}"


class Proof(NamedTuple):
    """What the server itself showed at the first READY after the fault, in the order in which it was asked."""

    # The model was loaded before anything could have loaded it for the asking.
    listed: bool = True
    # A client got a token.
    answered: bool = True
    # For that the model had to be loaded.
    reloaded: bool = False


class Calm(NamedTuple):
    """What the agent did after that, with nothing broken any more."""

    checks: int = CALM_CHECKS
    falls: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a cell showed. Times are seconds since the fault began; `over` is when it ended.

    `ended` is the state that followed, None for none, or EXITED; `back` is how long after `over` it was reached.
    `fell` has the agent's own words for each fall from READY while the fault was on.
    """

    cell: Cell
    samples: list[Sample] = field(repr=False)
    promise: float
    over: float
    ended: str
    back: float
    fell: list[str] = field(default_factory=list)
    proof: Proof = field(default_factory=Proof)
    calm: Calm = field(default_factory=Calm)
    grown_bytes: int = 0
    log: str = field(default="", repr=False)

    @property
    def during(self) -> list[Sample]:
        """What was said while the fault was on."""
        return [sample for sample in self.samples if sample.at < self.over]

    @property
    def after(self) -> list[Sample]:
        """What was said once the agent was back."""
        return [sample for sample in self.samples if sample.at >= self.over + self.back]

    def as_json(self) -> dict[str, Any]:
        """Return what the table needs, and every change of what was said while the fault was on."""
        found = list(complaints(self))
        return {
            "state": self.cell.state,
            "fault": self.cell.fault,
            "said": [str(each) for each in changes(self.during)],
            "fault_seconds": round(self.over, 2),
            "ended": self.ended,
            "ended_after_seconds": round(self.back, 2),
            "complaints": found,
            **({"log": self.log[-LOG_CHARACTERS:]} if found else {}),
        }


IN_A_ROW = re.compile(r"\((\d+) failures in a row\)")
EXITED = "exit 0"
KILLED = "no exit"


def changes(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Yield the samples that say something else than the one before."""
    before: tuple[object, ...] = ()
    for sample in samples:
        if sample[1:] != before:
            yield sample
        before = sample[1:]


def complaints(outcome: Outcome) -> Iterator[str]:
    """Yield what a run showed that must not be."""
    yield from _readiness(outcome)
    yield from _startup(outcome)
    yield from _liveness(outcome)
    yield from _end(outcome)
    if outcome.ended == S.READY:
        yield from _back(outcome)
    if outcome.grown_bytes > KEPT_BYTES:
        yield f"the agent kept {outcome.grown_bytes >> 20} MiB of an answer"


def _readiness(outcome: Outcome) -> Iterator[str]:
    state, fault = outcome.cell
    ready = [sample.at for sample in outcome.during if sample.ready == 200]
    if state not in (S.READY, S.STOPPING) and ready:
        yield f"READY {ready[0]:.1f} s into the fault, and no model was loaded"
    if state is S.STOPPING and (late := [at for at in ready if at > HEARD_SECONDS]):
        yield f"READY {late[-1]:.1f} s after SIGTERM"
    if state is not S.READY or fault in HARMLESS:
        return
    limit = outcome.promise + BUSY_SECONDS
    if fault is Fault.RUNNER_KILLED:  # it comes back by itself, faster perhaps than it is asked: its word must do
        if not outcome.fell:
            yield "READY all the while, although the runner was gone"
    elif late := [at for at in ready if at > limit]:
        yield f"READY {late[-1]:.1f} s into the fault, and the model did not serve"
    counts = [int(match[1]) for words in outcome.fell[:1] if (match := IN_A_ROW.search(words))]
    if counts and counts[0] > THRESHOLD:
        yield f"given up after {counts[0]} failures, not {THRESHOLD}"


def _startup(outcome: Outcome) -> Iterator[str]:
    """It latches at the first READY."""
    wrong = 503 if outcome.cell.state is S.READY else 200
    if outcome.cell.state is not S.STOPPING and any(sample.startup == wrong for sample in outcome.during):
        yield f"startupz said {wrong}"


def _liveness(outcome: Outcome) -> Iterator[str]:
    live = [sample.live for sample in outcome.during]
    if outcome.cell.fault is Fault.STALL and outcome.cell.state is not S.STOPPING and None not in live:
        yield "livez answered while the event loop stood still"
    if outcome.cell.fault in STUCK:
        return
    if wrong := [code for code in live if code not in (200, None)]:
        yield f"livez said {wrong[0]}, and the agent was not stuck"
    if outcome.cell.state is not S.STOPPING and (None, None) in pairwise(live):
        yield "livez did not answer twice in a row, and the agent was not stuck"


def _end(outcome: Outcome) -> Iterator[str]:
    state = outcome.cell.state
    expected = {S.FAILED: S.FAILED, S.STOPPING: EXITED}.get(state, S.READY)
    if outcome.ended != expected:
        yield f"it ended {outcome.ended}, expected {expected}"
    if state is S.STOPPING and outcome.back > EXIT_SECONDS:
        yield f"the end took {outcome.back:.1f} s"


def _back(outcome: Outcome) -> Iterator[str]:
    """It is READY, and stays so: by the server's word, then by its own."""
    if not outcome.proof.listed:
        yield "READY, and no model was loaded"
    if not outcome.proof.answered:
        yield "READY, and the model did not answer"
    elif outcome.proof.reloaded and outcome.cell != DEAD_BEHIND_ITS_ANSWERS:
        yield "READY, and the next request had to load the model"
    if outcome.calm.checks < CALM_CHECKS:
        yield f"READY, and {outcome.calm.checks} checks of the model in {CALM_SECONDS:g} s"
    if outcome.calm.falls > 1:  # one may be a busy machine's
        yield f"READY, and it fell {outcome.calm.falls} times in the calm after"
    if wrong := [sample.live for sample in outcome.after if sample.live not in (200, None)]:
        yield f"livez said {wrong[0]} after the fault"
