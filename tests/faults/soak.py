"""`python -m tests.faults.soak`: random faults for an hour, and two clients: one obeys readiness, one a TCP probe.

Exit status 1 when readiness lied, never came back, or liveness failed although the agent was not stuck.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.result import Result, Target
from docs.fault_table import FAULT_TABLES
from rich.console import Console
from rich.table import Table
from tests.faults.breaking import NAMED, STUCK_SECONDS, Lane, broken, lane
from tests.faults.cells import BUSY_SECONDS, HARMLESS, MENDED_SECONDS, STUCK, Cell, Fault, S
from tests.faults.clients import PATIENCE_SECONDS, PROBE_SECONDS, Client, Clients, Gates
from tests.faults.subjects import real, scripted
from tests.faults.watched import WatchedAgent, ask
from tests.servers import REAL_OLLAMA, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

HOUR, LONGEST = 3600.0, 86_400.0
WRITTEN_SECONDS = 300.0
"""A shorter run is a try: its figures are of too few faults to be kept."""
FAULT_SECONDS, CALM_SECONDS = (2.0, 8.0), (2.0, 8.0)
"""How long a fault lasts, and how long it is quiet after the agent is READY again; evenly drawn."""
LOAD_SECONDS = 3.0
"""Of the scripted stand-in: a small model's cold load."""
START_SECONDS = 60.0
SETTINGS = {"PERIOD_SECONDS": "1", "TIMEOUT_SECONDS": "0.5", "FAILURE_THRESHOLD": "2", "STARTUP_TIMEOUT_SECONDS": "60"}
PROMISE_SECONDS = 2 * 1 + 0.5
OBEYS, TCP = "obeys readiness", "behind a TCP probe"
METHOD = (
    "One instance behind a wire that breaks. Faults of every kind of the matrix, drawn with the seed, each for 2 to "
    "8 s, with 2 to 8 s of calm after the agent is READY again. Two clients send one short request each 0.2 s over the "
    "same wire, and give up after 3 s. The first sends only while the last readiness probe passed, the second while "
    "the last TCP connection to the port did (kinder than Cloud Run's default, which looks at the start alone); both "
    "probes are asked each second. 'availability' is what a client sees where another instance answers the requests "
    "that are held back, 'availability_alone' where there is none. 'held_back_in_vain' are requests held back while "
    "the other client's of the same instant was answered. Faults are far rarer in operation: compare the two."
)


@dataclass(frozen=True, slots=True)
class Event:
    """One fault: from when to when, in seconds since the start; READY was `back` after it, None for never."""

    fault: Fault
    began: float
    over: float
    back: float | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _options(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    console.print(f"soak: {options.seconds:g} s, seed {options.seed}, {options.server}")
    if options.server == "ollama" and REAL_OLLAMA is None:
        sys.stderr.write("soak: no real Ollama here: put one on PATH, or name it in OLLAMA_BIN\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        result = _run(Path(home), options.seconds, options.seed, console, on_ollama=options.server == "ollama")
    console.print(_table(result.measured["clients"]))
    result.show(console)
    if options.seconds >= WRITTEN_SECONDS:
        console.print(f"written: {result.write()}")
        FAULT_TABLES.write()
    return 0 if result.met else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description="Random faults, steady clients.")
    parser.add_argument("--seconds", type=float, default=HOUR, help="of new faults; below 300: a try (%(default)g)")
    seed = random.SystemRandom().randrange(1_000_000)
    parser.add_argument("--seed", type=int, default=seed, help="of the faults (random, and printed)")
    parser.add_argument("--server", choices=["stand-in", "ollama"], default="stand-in", help="broken (%(default)s)")
    options = parser.parse_args(arguments)
    if not 1 <= options.seconds <= LONGEST:
        parser.error(f"argument --seconds: {options.seconds:g} is not between 1 and {LONGEST:g}; give seconds")
    return options


def _run(home: Path, seconds: float, seed: int, console: Console, *, on_ollama: bool) -> Result:
    subject_of = (
        (lambda folder, _: real(folder, str(REAL_OLLAMA)))
        if on_ollama
        else (lambda folder, digest: scripted(folder, digest, LOAD_SECONDS))
    )
    with contextlib.ExitStack() as ends:
        on = ends.enter_context(lane(home, subject_of))
        environ = {"MODEL": on.subject.pinned, **SETTINGS}
        agent = ends.enter_context(WatchedAgent(on.wire.url.replace("127.0.0.1", NAMED), home, **environ))
        wait_until(lambda: agent.state() == S.READY, START_SECONDS, f"READY; the agent said:\n{agent.log[-2000:]}")
        gates = ends.enter_context(Gates(agent.port, on.wire.port))
        wait_until(lambda: gates.now.ready, START_SECONDS, "the first readiness probe")
        pair = {OBEYS: Client(lambda: gates.now.ready), TCP: Client(lambda: gates.now.open)}
        began = time.monotonic()
        with Clients([*pair.values()], lambda: _served(on)) as clients:
            events = _faults(seconds, random.Random(seed), on, agent, gates, console)  # noqa: S311 — no secret
        took = time.monotonic() - began
        name = on.subject.name
    probed = [seen._replace(at=seen.at - began) for seen in gates.seen if seen.at >= began]
    share_ready = sum(seen.ready for seen in probed) / len(probed)
    in_vain = sum(
        pair[TCP].fates.get(tick, False) and tick not in pair[OBEYS].fates for tick in range(1, clients.ticks + 1)
    )
    return Result(
        name="soak_ollama" if on_ollama else "soak_standin",
        server=name,
        method=METHOD,
        targets=_targets(pair, events, probed),
        measured={
            "seconds": took,
            "seed": seed,
            "faults": len(events),
            "ready_share_of_time": share_ready,
            "back_to_ready_seconds": _backs(events),
            "held_back_in_vain": in_vain,
            "clients": {
                who: {
                    "sent": client.sent,
                    "served": client.served,
                    "failed": client.failed,
                    "held_back": client.held_back,
                    "availability": 1 - client.failed / client.asked,
                    "availability_alone": client.served / client.asked,
                }
                for who, client in pair.items()
            },
            "events": [
                f"{event.began:.1f} {event.fault} for {event.over - event.began:.1f} s, "
                + ("never READY again" if event.back is None else f"READY {event.back:.1f} s after it")
                for event in events
            ],
        },
    )


def _served(on: Lane) -> bool:
    options = {"num_predict": 4, "num_ctx": 2048}
    body = {"model": on.subject.model, "prompt": "Say hello.", "stream": False, "options": options}
    status, answer = ask(on.wire.port, "/api/generate", PATIENCE_SECONDS, body)
    return status == 200 and bool(answer.get("eval_count"))


def _faults(
    seconds: float, draw: random.Random, on: Lane, agent: WatchedAgent, gates: Gates, console: Console
) -> list[Event]:
    """Let one fault after the other come and go, for so many seconds, and end with the agent READY."""
    events, start = [], time.monotonic()
    while time.monotonic() - start < seconds:
        fault = draw.choice([*Fault])
        length = STUCK_SECONDS if fault is Fault.STALL else draw.uniform(*FAULT_SECONDS)
        began = time.monotonic()
        with broken(Cell(S.READY, fault), on, agent):
            time.sleep(length)
        on.wire.mend()
        over = time.monotonic()
        back = _back(gates, over)
        events.append(Event(fault, began - start, over - start, back))
        words = "never READY again" if back is None else f"READY {back:.1f} s after it"
        console.print(f"{began - start:7.1f} s  {fault} for {over - began:.1f} s, {words}")
        if back is None:
            break
        time.sleep(draw.uniform(*CALM_SECONDS))
    return events


def _back(gates: Gates, over: float) -> float | None:
    """Wait for a readiness probe that was asked after a fault and passed; return how long after."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: gates.now.ready and gates.now.at >= over, MENDED_SECONDS)
        return gates.now.at - over
    return None


def _targets(pair: dict[str, Client], events: list[Event], probed: list[Any]) -> tuple[Target, ...]:
    late = PROMISE_SECONDS + PROBE_SECONDS + BUSY_SECONDS
    lies = sum(
        seen.ready and event.began + late < seen.at < event.over
        for event in events
        if event.fault not in HARMLESS | {Fault.RUNNER_KILLED, Fault.RUNNER_STOPPED}  # these two mend themselves
        for seen in probed
    )
    stuck = [(event.began, event.over + PROBE_SECONDS + BUSY_SECONDS) for event in events if event.fault in STUCK]
    dead = sum(
        not seen.live and not any(a <= seen.at + PROBE_SECONDS and seen.at <= b for a, b in stuck) for seen in probed
    )
    share = pair[OBEYS].failed / max(1, pair[TCP].failed)
    return (
        Target("probes that passed later than promised in a fault", lies, 0, ""),
        Target(
            "faults after which the agent was never READY again", sum(event.back is None for event in events), 0, ""
        ),
        Target("liveness probes that failed, and the agent was not stuck", dead, 0, ""),
        Target("failed requests of the client that obeys readiness, for one behind a TCP probe", share, 1, ""),
    )


def _backs(events: list[Event]) -> dict[str, float]:
    backs = [event.back for event in events if event.back is not None]
    return {"median": median(backs), "most": max(backs)} if backs else {}


def _table(clients: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="clients", title_justify="left", title_style="bold")
    for heading in ("client", "sent", "served", "failed", "held back", "availability", "alone"):
        table.add_column(heading, justify="left" if heading == "client" else "right")
    for who, counts in clients.items():
        figures = [str(counts[name]) for name in ("sent", "served", "failed", "held_back")]
        table.add_row(who, *figures, f"{counts['availability']:.2%}", f"{counts['availability_alone']:.2%}")
    return table


if __name__ == "__main__":
    sys.exit(main())
