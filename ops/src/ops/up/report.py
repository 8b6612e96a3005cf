"""What a run showed: when the gate opened, when the model was ready, and who got in before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.up.exchange import RequestRecord
from ops.up.journal import Kind
from ops.up.run_state import LocalRun


@dataclass(frozen=True, slots=True)
class Admission:
    """The gate against the model's readiness. Wall-clock instants; None: not reached."""

    gate_open_at: float | None
    ready_at: float | None
    early_requests: int
    held_requests: int
    # From the start of the first container to the first part of a container's answer.
    first_answer_seconds: float | None = None

    @property
    def early_seconds(self) -> float | None:
        """Seconds that the gate was open before READY (negative: it opened after); None: one never happened."""
        if self.gate_open_at is None or self.ready_at is None:
            return None
        return self.ready_at - self.gate_open_at

    def __str__(self) -> str:
        """Say in one line whether requests could come before the model."""
        if self.gate_open_at is None:
            return "the gate never opened"
        early = self.early_seconds
        if early is None:
            return f"the gate opened, the model did not become ready: {_requests(self.early_requests)} got in"
        if early > 0:
            what = f"the gate was open {early:.3f} s before READY"
            return f"EARLY: {what}; {_requests(self.early_requests)} got in before the model was ready{self._answer()}"
        held = (
            f"{_requests(self.held_requests)} {'was' if self.held_requests == 1 else 'were'} held until the gate opened"
        )
        reached = f"{self.early_requests or 'none'} reached the container before READY"
        return f"the gate opened {-early * 1000:.1f} ms after READY; {held}, {reached}{self._answer()}"

    def _answer(self) -> str:
        seconds = self.first_answer_seconds
        return "" if seconds is None else f"; first answer {seconds:.2f} s after the start"


def admission(local: LocalRun) -> Admission:
    """Compare the front's records with the agent's READY."""
    status = local.agent.latest if local.agent else None
    ready_at = status.ready_at if status else None
    gate_open_at = local.gate.opened_at
    log = local.front.log
    start = local.journal.at(Kind.CONTAINER_STARTED)
    answers = [r.answered_at for r in log if r.forwarded_at is not None and r.answered_at is not None]
    first = min(answers) - start if answers and start is not None else None
    return Admission(gate_open_at, ready_at, _early(log, ready_at), _held(log, gate_open_at), first)


def _requests(count: int) -> str:
    return f"{count or 'no'} request{'' if count == 1 else 's'}"


def _early(log: Sequence[RequestRecord], ready_at: float | None) -> int:
    return sum(r.forwarded_at is not None and (ready_at is None or r.forwarded_at < ready_at) for r in log)


def _held(log: Sequence[RequestRecord], gate_open_at: float | None) -> int:
    return sum(r.forwarded_at is not None and gate_open_at is not None and r.arrived_at < gate_open_at for r in log)


def as_json(local: LocalRun, failure: str | None) -> dict[str, Any]:
    """Return the whole report; times are seconds since the first container was started, None where none was."""
    shown = admission(local)
    status = local.agent.latest if local.agent else None
    start = local.journal.at(Kind.CONTAINER_STARTED)

    def since(at: float | None) -> float | None:
        return None if at is None or start is None else round(at - start, 4)

    return {
        "service": local.plan.service.name,
        "gating": local.options.gating.value,
        "probe": local.options.probe.value,
        "containers": {name: runtime.description for name, runtime in local.plan.runtimes.items()},
        "model": local.plan.model,
        "started_at": start,
        "gate_open_seconds": since(shown.gate_open_at),
        "agent_ready_seconds": since(shown.ready_at),
        "early_seconds": None if shown.early_seconds is None else round(max(0.0, shown.early_seconds), 4),
        "early_requests": shown.early_requests,
        "held_requests": shown.held_requests,
        "first_answer_seconds": None if shown.first_answer_seconds is None else round(shown.first_answer_seconds, 4),
        "summary": str(shown),
        "failure": failure,
        "waterfall": status.raw.get("waterfall") if status else None,
        "events": [{"event": e.kind.value, "text": e.text, "seconds": since(e.at)} for e in local.journal.events],
        "requests": [
            {
                "method": record.method,
                "path": record.path,
                "arrived_seconds": since(record.arrived_at),
                "forwarded_seconds": since(record.forwarded_at),
                "answered_seconds": since(record.answered_at),
                "finished_seconds": since(record.finished_at),
                "status": record.status,
            }
            for record in local.front.log
        ],
    }
