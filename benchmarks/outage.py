"""One outage of a READY agent with its default settings: the fault comes, readiness falls, the fault goes."""

from __future__ import annotations

import time
from typing import NamedTuple

from lab.agent import UNSET, promised
from lab.faults.breaking import STUCK_SECONDS, Lane, agent_for, broken
from lab.faults.cells import MENDED_SECONDS, STUCK, THE_RUNNERS, Cell, Fault, S, Sample
from lab.faults.watched import WatchedAgent, Witness
from lab.servers import wait_until
from probe_agent.settings import Settings
from probe_agent.variables import PREFIX

DEFAULTS = Settings.from_environ({f"{PREFIX}MODEL": "any"})
# The longest that readiness may outlive its model: the README says so.
PROMISE_SECONDS = promised(**UNSET)
# A fault stays on so long after readiness has fallen: the agent is found trying, not falling.
HELD_SECONDS = DEFAULTS.period_seconds
# For the agent to be READY, its model loaded, on a busy machine.
START_SECONDS = 60.0
OK = 200


class Outage(NamedTuple):
    """A fault, and how long after the agent's READY it comes: the next check is a period after that."""

    fault: Fault
    after_seconds: float


class Seen(NamedTuple):
    """What came of an outage, in seconds.

    `lost` is from the fault to "not ready", None where readiness stayed. `back` is from the fault's end to "ready"
    again, None where it never came, or had not to come. `way_up` is this agent's own first one: from Ollama's first
    answer to READY.
    """

    lost: float | None
    back: float | None
    way_up: float


def suffer(outage: Outage, on: Lane) -> Seen:
    """Let a new agent suffer it."""
    on.clear()
    cell = Cell(S.READY, outage.fault)
    with agent_for(cell, on, **UNSET) as agent:
        wait_until(lambda: agent.state() == S.READY, START_SECONDS, f"READY; the agent said:\n{agent.log[-2000:]}")
        way_up = _way_up(agent)
        time.sleep(outage.after_seconds)
        with Witness(agent.port) as witness:
            lost, back = _suffered(cell, on, agent, witness)
    return Seen(lost, back, way_up)


def _suffered(cell: Cell, on: Lane, agent: WatchedAgent, witness: Witness) -> tuple[float | None, float | None]:
    fault, over, again = cell.fault, 0.0, None
    witness.begin()
    with broken(cell, on, agent):
        fallen = witness.first(lambda said: _fallen(said, fault), within=PROMISE_SECONDS + HELD_SECONDS)
        if fault in THE_RUNNERS:  # Ollama's business to mend, and the fault is over when it has
            over = fallen.at if fallen else witness.now
            again = witness.first(_ready, since=over, within=MENDED_SECONDS)
        elif fault is Fault.STALL:
            time.sleep(max(0.0, STUCK_SECONDS - witness.now))
        elif fallen:
            time.sleep(HELD_SECONDS)
    on.wire.mend()
    if not fallen:
        return None, None
    if fault not in THE_RUNNERS:
        over = witness.now
        again = witness.first(_ready, since=over, within=MENDED_SECONDS)
    return fallen.at, None if again is None else again.at - over


def _fallen(said: Sample, fault: Fault) -> bool:
    """Whether a probe failed; one without an answer is the machine's doing where the agent itself is not stuck."""
    return said.ready != OK and (said.ready is not None or fault in STUCK)


def _ready(said: Sample) -> bool:
    return said.ready == OK


def _way_up(agent: WatchedAgent) -> float:
    reached = {each["phase"]: each["at_seconds"] for each in agent.get("/status").json()["waterfall"]["phases"]}
    return float(reached["ready"] - reached["api_answers"])
