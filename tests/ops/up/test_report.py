"""What the report says of the gate and the agent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.up import waterfall
from ops.up.agent_status import parse
from ops.up.exchange import RequestRecord
from ops.up.gate import Gate
from ops.up.journal import Journal, Kind
from ops.up.options import Options
from ops.up.report import Admission, as_json
from ops.up.run_state import LocalRun


def status(**changes: Any) -> dict[str, Any]:
    """Return a /status body of a loading agent."""
    return {
        "state": "LOADING",
        "reason": "loading",
        "since": "2026-11-22T20:00:00.250Z",
        "agent": {"uptime_seconds": 2.0},
        "waterfall": {"phases": [{"phase": "agent_up", "at_seconds": 0, "seconds": 0}]},
        **changes,
    }


@pytest.mark.parametrize(
    ("admission", "text"),
    [
        (Admission(None, None, 0, 0), "the gate never opened"),
        (Admission(10.0, None, 2, 0), "the gate opened, the model did not become ready: 2 requests got in"),
        (Admission(10.0, 11.5, 1, 0), "EARLY: the gate was open 1.500 s before READY; 1 request got in before"),
        (Admission(10.0, 9.99, 0, 3), "opened 10.0 ms after READY; 3 requests were held until the gate opened, none"),
        (Admission(10.0, 9.99, 0, 1, 2.0), "1 request was held until the gate opened, none reached the container"),
        (Admission(10.0, 9.99, 0, 1, 2.0), "; first answer 2.00 s after the start"),
    ],
)
def test_admission_reads_as_a_sentence(admission: Admission, text: str) -> None:
    """Each outcome is said in plain words."""
    assert text in str(admission)


def test_first_ready_is_kept() -> None:
    """The instant of the first READY stays, whatever the agent says later."""
    loading = parse(status())
    ready = parse(status(state="READY"), loading)
    later = parse(status(state="READY", since="2026-11-22T21:00:00.000Z"), ready)
    assert loading.ready_at is None
    assert ready.ready_at == later.ready_at == 1795377600.25


def test_waterfall_says_whether_the_gap_was_closed() -> None:
    """The same gap is closed by the agent's probe and left open by a TCP probe."""
    body = status(waterfall={"phases": [], "gap_seconds": 1.5, "load_bytes_per_second": 2e8})
    assert waterfall.summary(parse(body), closed=True).startswith("gap closed: 1.500 s")
    assert waterfall.summary(parse(body), closed=False) == (
        "gap left open: 1.500 s between the open port and READY · load: 200 MB/s"
    )


@pytest.mark.parametrize("body", [{}, {"state": "READY"}, {"state": "LOADING", "agent": []}, []])
def test_foreign_status_is_refused(body: Any) -> None:
    """What is no agent's status raises one of the errors that the watch passes over."""
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        parse(body)


def test_run_that_started_nothing_has_no_times() -> None:
    """Without a started container there is nothing to count seconds from: the report's times are empty."""
    gate, journal = Gate(), Journal()
    journal.note(Kind.STOPPING)
    front = SimpleNamespace(log=[RequestRecord("GET", "/", 1795377600.0)])
    plan = SimpleNamespace(service=SimpleNamespace(name="s"), runtimes={}, model=None)
    local = SimpleNamespace(plan=plan, options=Options(), agent=None, gate=gate, front=front, journal=journal)
    report = as_json(cast("LocalRun", local), "no such program")
    assert (report["started_at"], report["events"][0]["seconds"], report["requests"][0]["arrived_seconds"]) == (
        None,
    ) * 3
