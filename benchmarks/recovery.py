"""How long the agent, as users have it, takes from a fault to "not ready", and from its end to "ready" again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from benchmarks.outage import DEFAULTS, HELD_SECONDS, PROMISE_SECONDS, Outage, Seen, suffer
from lab.faults.breaking import STUCK_SECONDS
from lab.faults.cells import HARMLESS, Fault
from lab.faults.matrix import Matrix
from lab.faults.subjects import Subject, real, scripted
from lab.measuring.precondition import NotHereError, real_ollama
from lab.measuring.result import Result, Target

Found = dict[Fault, list[Seen]]

NAME = "recovery"
TURNS, QUICK_TURNS = 5, 1
# At once: a lane mostly waits; a real Ollama computes when it loads, and two of them share these cores.
LANES, REAL_LANES = 6, 2
# The others are of the wire or in the agent: no other server makes them others.
REAL_FAULTS = (Fault.PROCESS_KILLED, Fault.PROCESS_STOPPED, Fault.RUNNER_KILLED, Fault.RUNNER_STOPPED)
# For a request that is under way when the fault ends, and a period in which the agent may be waiting.
LIMIT_BACK_SECONDS = DEFAULTS.period_seconds + DEFAULTS.timeout_seconds
METHOD = (
    f"Each outage has an agent of its own with the default settings (period {DEFAULTS.period_seconds:g} s, "
    f"{DEFAULTS.failure_threshold} failures, time-out {DEFAULTS.timeout_seconds:g} s), whose rate limit of reloads is "
    "thus unused; those of one fault are spread evenly over a period. Faults as in docs/faults.md. 'not ready': from "
    "the fault to the first /readyz that is not 200, by when it was asked, about ten times a second; one without an "
    "answer within a second counts only where the agent itself is stuck, and the next is asked after that second. The "
    f"fault then stays on for {HELD_SECONDS:g} s (a stall lasts {STUCK_SECONDS:g} s in all). 'ready again': from its "
    "end (of a killed Ollama: its API answers) to the first 200. A lost runner is mended by Ollama, which the agent "
    "asks to: there it counts from 'not ready'. For a stopped one it has no target: Ollama gives it up after two pings "
    "of ten seconds, the stand-in of 0.3 s. Outages go on side by side. No figures: still 200 "
    f"{PROMISE_SECONDS + HELD_SECONDS:g} s after the fault."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Measure against the stand-in, and against a real Ollama where there is one."""
    turns = QUICK_TURNS if quick else TURNS
    runs = [_outages(folder / "stand-in", scripted, [*Fault], turns, LANES)]
    not_here = {}
    try:
        binary = real_ollama()
    except NotHereError as error:
        not_here["the same of a real Ollama"] = str(error)
    else:
        runs.append(_outages(folder / "ollama", lambda home, _: real(home, binary), REAL_FAULTS, turns, REAL_LANES))
    servers = dict(runs)
    every = [(fault, seen) for found in servers.values() for fault, all_seen in found.items() for seen in all_seen]
    return Result(
        name=NAME,
        server=", ".join(servers),
        method=METHOD,
        targets=(
            Target("fault to not ready, worst", max(seen.lost or 0.0 for _, seen in every), PROMISE_SECONDS, "s"),
            Target("outages that readiness hid", sum(hidden(*each) for each in every), 0, ""),
            Target("outages after which it was never ready again", sum(_never(seen) for _, seen in every), 0, ""),
            *(_back_target(name, found) for name, found in servers.items()),
        ),
        not_here=not_here,
        tables=tuple(_table(name, found) for name, found in servers.items()),
        measured={
            "promised_seconds": PROMISE_SECONDS,
            "way_up_seconds": {name: _way_up(found) for name, found in servers.items()},
            "outages": [
                {"server": name, "fault": fault, **figures(all_seen)}
                for name, found in servers.items()
                for fault, all_seen in found.items()
            ],
        },
    )


def _outages(
    home: Path,
    subject_of: Callable[[Path, str], AbstractContextManager[Subject]],
    faults: Sequence[Fault],
    turns: int,
    lanes: int,
) -> tuple[str, Found]:
    """Return the server's name, and what was seen of each fault."""
    home.mkdir()
    moments = [DEFAULTS.period_seconds * (turn + 0.5) / turns for turn in range(turns)]
    outages = [Outage(fault, moment) for moment in moments for fault in faults]
    with Matrix(home, subject_of, outages, lanes, suffer) as matrix:
        found: Found = {fault: [] for fault in faults}
        for outage, future in matrix.futures.items():
            found[outage.fault].append(future.result())
        return matrix.name, found


def figures(all_seen: Sequence[Seen]) -> dict[str, Any]:
    """Return a fault's row: median and worst of both ways, None where readiness stayed, and every single figure."""
    lost = [seen.lost for seen in all_seen if seen.lost is not None]
    back = [seen.back for seen in all_seen if seen.back is not None]
    return {
        "outages": len(all_seen),
        "not_ready": len(lost),
        "not_ready_seconds": {"median": median(lost), "worst": max(lost)} if lost else None,
        "ready_again_seconds": {"median": median(back), "worst": max(back)} if back else None,
        "each_not_ready_seconds": [seen.lost for seen in all_seen],
        "each_ready_again_seconds": [seen.back for seen in all_seen],
    }


def hidden(fault: Fault, seen: Seen) -> bool:
    """Whether the model was out of reach and readiness stayed; a stopped runner may be mended within one check."""
    return seen.lost is None and fault not in HARMLESS | {Fault.RUNNER_STOPPED}


def _never(seen: Seen) -> bool:
    return seen.lost is not None and seen.back is None


def _way_up(found: Found) -> float:
    return median(seen.way_up for all_seen in found.values() for seen in all_seen)


def _back_target(name: str, found: Found) -> Target:
    """A period, a time-out and the way up once more are the most that one accident costs after its end."""
    backs = [seen.back or 0.0 for fault in {*found} - {Fault.RUNNER_STOPPED} for seen in found[fault]]
    claim = f"the fault's end to ready again, worst, {name}"
    return Target(claim, max(backs), round(LIMIT_BACK_SECONDS + _way_up(found), 1), "s")


def _table(name: str, found: Found) -> Table:
    table = Table(title=f"seconds, {name}", title_justify="left", title_style="bold")
    for heading in ("fault", "outages", "not ready", "after, median", "worst", "ready again, median", "worst"):
        table.add_column(heading, justify="left" if heading == "fault" else "right")
    for fault, all_seen in found.items():
        row = figures(all_seen)
        ways = (row["not_ready_seconds"], row["ready_again_seconds"])
        cells = [f"{way[figure]:.1f}" if way else "–" for way in ways for figure in ("median", "worst")]
        table.add_row(fault, str(row["outages"]), str(row["not_ready"]), *cells)
    return table
