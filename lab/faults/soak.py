"""`python -m lab.faults.soak`: random faults for an hour, and two clients: one obeys readiness, one a TCP probe.

Exit status 1 when readiness lied, never came back or helped nobody, or when liveness failed and nothing was stuck.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.faults import verdict as judging
from lab.faults.breaking import NAMED, STUCK_SECONDS, Lane, broken, lane
from lab.faults.cells import THE_RUNNERS, Cell, Fault, S
from lab.faults.clients import PATIENCE_SECONDS, Client, Clients, Gates
from lab.faults.pace import QUICK, SERVICE, Pace, faults, shipped
from lab.faults.subjects import real, scripted
from lab.faults.verdict import Event
from lab.faults.watched import WatchedAgent, Witness, ask
from lab.measuring.result import Result
from lab.pages.fault_table import FAULT_TABLES
from lab.servers import REAL_OLLAMA, wait_until

HOUR, LONGEST = 3600.0, 86_400.0
# A shorter run is a try: its figures are of too few faults to be kept.
WRITTEN_SECONDS = 300.0
START_SECONDS = 60.0
# Beyond its promise, an agent is given so long to be seen not ready: more than any allowance of the verdict.
NOTICE_SECONDS = 2.0
OBEYS, TCP = "obeys readiness", "behind a TCP probe"
METHOD = (
    "One instance behind a wire that breaks. Faults drawn with the seed: of the wire, of Ollama, of its runner and of "
    "what the agent stands on, in turns; each for {fault} s, with {calm} s of calm after the agent is READY again. "
    "The agent looks each {period:g} s and promises {promise:g} s. Two clients send one short request each 0.2 s over "
    "the same wire, and give up after 3 s. The first sends only while a readiness probe (each {gate.period:g} s, "
    "failureThreshold {gate.failure_threshold}, successThreshold {gate.success_threshold}) lets it, the second while "
    "a TCP probe of the port with the same numbers does (kinder than Cloud Run's default, which looks at the start "
    "alone). Both are still from a runner's fault until the agent has noticed it: a request would mend it. A fault is "
    "judged when it lasted long enough for a lie to be seen. 'availability' is what a client sees where another "
    "instance answers the requests that are held back, 'availability_alone' where there is none. 'held_back_in_vain' "
    "are requests held back while the other client's of the same instant was answered. Faults are far rarer in "
    "operation: compare the two."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _options(arguments)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    pace = shipped(SERVICE.read_text(encoding="utf-8")) if options.shipped else QUICK
    console.print(f"soak: {options.seconds:g} s, seed {options.seed}, {options.server}, {pace.name} settings")
    if options.server == "ollama" and REAL_OLLAMA is None:
        sys.stderr.write("soak: no real Ollama: name its binary in OLLAMA_BIN\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="soak-") as home:
        result = _run(Path(home), options.seconds, options.seed, pace, console, on_ollama=options.server == "ollama")
    console.print(_table(result.measured["clients"]))
    for event in result.measured["lied"]:
        console.print(f"lied: {event}", style="bold red")
    result.show(console)
    if options.seconds >= WRITTEN_SECONDS:
        console.print(f"written: {result.write()}")
        FAULT_TABLES.write()
    return 0 if result.met else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lab.faults.soak", description="Random faults, steady clients.")
    parser.add_argument("--seconds", type=float, default=HOUR, help="of new faults; below 300: a try (%(default)g)")
    seed = random.SystemRandom().randrange(1_000_000)
    parser.add_argument("--seed", type=int, default=seed, help="of the faults (random, and printed)")
    parser.add_argument("--server", choices=["stand-in", "ollama"], default="stand-in", help="broken (%(default)s)")
    parser.add_argument("--shipped", action="store_true", help="settings and probe of service.yaml, and longer faults")
    options = parser.parse_args(arguments)
    if not 1 <= options.seconds <= LONGEST:
        parser.error(f"argument --seconds: {options.seconds:g} is not between 1 and {LONGEST:g}; give seconds")
    return options


def _run(home: Path, seconds: float, seed: int, pace: Pace, console: Console, *, on_ollama: bool) -> Result:
    subject_of = (
        (lambda folder, _: real(folder, str(REAL_OLLAMA)))
        if on_ollama
        else (lambda folder, digest: scripted(folder, digest, pace.load_seconds))
    )
    with contextlib.ExitStack() as ends:
        on = ends.enter_context(lane(home, subject_of))
        environ = {"MODEL": on.subject.pinned, **pace.settings}
        agent = ends.enter_context(WatchedAgent(on.wire.url.replace("127.0.0.1", NAMED), home, **environ))
        wait_until(lambda: agent.state() == S.READY, START_SECONDS, f"READY; the agent said:\n{agent.log[-2000:]}")
        gates = ends.enter_context(Gates(pace.gate, agent.port, on.wire.port, int(on.bucket.url.rpartition(":")[2])))
        wait_until(lambda: gates.now.let_in, START_SECONDS, "the first readiness probe")
        pair = {OBEYS: Client(lambda: gates.now.let_in), TCP: Client(lambda: gates.now.open)}
        began = time.monotonic()
        with Clients([*pair.values()], lambda: _served(on)) as clients:
            soak = Soak(on, agent, gates, clients, pace, began)
            events = soak.run(seconds, random.Random(seed), console)  # noqa: S311 — no secret
        took = time.monotonic() - began
        name = on.subject.name
    probed = [seen._replace(at=seen.at - began) for seen in gates.seen if seen.at >= began]
    found = judging.verdict(events, probed, pace.promise)
    lied = [f"{event.began:.1f} {event}" for event in events if judging.lies(event, probed, pace.promise)]
    failed = judging.Share(pair[OBEYS].failed / max(1, pair[TCP].failed), pace.failed_share)
    in_vain = judging.in_vain(pair[OBEYS].fates, pair[TCP].fates)
    in_vain_share = in_vain / max(1, pair[TCP].served)
    let_in = judging.still_let_in(events, probed)
    return Result(
        name=f"soak_{'ollama' if on_ollama else 'standin'}{'' if pace is QUICK else f'_{pace.name}'}",
        server=name,
        method=_method(pace),
        targets=judging.targets(found, len(events), failed, in_vain_share),
        not_here=judging.too_few(len(events)),
        measured={
            "seconds": took,
            "seed": seed,
            "pace": pace.name,
            "faults": len(events),
            "faults_judged": found.judged,
            "ready_share_of_time": sum(seen.ready for seen in probed) / max(1, len(probed)),
            "back_to_ready_seconds": _spread([event.back for event in events if event.back is not None]),
            "still_let_in_seconds": _spread(let_in),
            "probes_late_by_seconds": _spread([seen.delay for seen in probed]),
            "held_back_in_vain": in_vain,
            "held_back_in_vain_share": in_vain_share,
            "failed_share": failed.measured,
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
            "events": [f"{event.began:.1f} {event}" for event in events],
            "lied": lied,
        },
    )


def _method(pace: Pace) -> str:
    fault, calm = (f"{least:g} to {most:g}" for least, most in (pace.fault_seconds, pace.calm_seconds))
    return METHOD.format(fault=fault, calm=calm, period=pace.period, promise=pace.promise, gate=pace.gate)


def _served(on: Lane) -> bool:
    options = {"num_predict": 4, "num_ctx": 2048}
    body = {"model": on.subject.model, "prompt": "Say hello.", "stream": False, "options": options}
    status, answer = ask(on.wire.port, "/api/generate", PATIENCE_SECONDS, body)
    return status == 200 and bool(answer.get("eval_count"))


@dataclass(frozen=True, slots=True)
class Soak:
    """One instance under one fault after the other; `start` is the instant that all is counted from."""

    on: Lane
    agent: WatchedAgent
    gates: Gates
    clients: Clients
    pace: Pace
    start: float

    def run(self, seconds: float, draw: random.Random, console: Console) -> list[Event]:
        """Let faults come and go, for so many seconds, and end with the agent READY."""
        events: list[Event] = []
        for fault in faults(draw):
            length = STUCK_SECONDS if fault is Fault.STALL else draw.uniform(*self.pace.fault_seconds)
            event = self._one(fault, length)
            events.append(event)
            console.print(f"{event.began:7.1f} s  {event}")
            if event.back is None or self._now >= seconds:
                break
            time.sleep(draw.uniform(*self.pace.calm_seconds))
        return events

    @property
    def _now(self) -> float:
        return time.monotonic() - self.start

    def _one(self, fault: Fault, length: float) -> Event:
        noticed = None
        with contextlib.ExitStack() as still, contextlib.ExitStack() as ends:
            if fault in THE_RUNNERS:
                still.enter_context(self.clients.still())
            with broken(Cell(S.READY, fault), self.on, self.agent):
                began = self._now
                if fault in THE_RUNNERS:
                    noticed = self._noticed()
                    still.close()
                time.sleep(max(0.0, began + length - self._now))
                over = self._now
                witness = ends.enter_context(Witness(self.agent.port))  # before it ends: READY may come at once
            self.on.wire.mend()
            mended, since = self._now, witness.now
            first = witness.first(lambda said: said.ready == 200, since=since, within=self.pace.back_seconds)
            loaded = first is None or self.on.subject.loaded()
            # An agent that has not noticed anything says nothing new.
            fell = any(said.ready != 200 for said in witness.samples) or any(
                not seen.ready for seen in self.gates.seen if seen.at - self.start >= began
            )
        back = None if first is None else first.at - since
        return Event(fault, began, over, mended, back, listed=loaded or not fell, noticed=noticed)

    def _noticed(self) -> float | None:
        """Wait until the agent is seen not ready; return how long it took."""
        with Witness(self.agent.port) as witness:
            seen = witness.first(lambda said: said.ready != 200, within=self.pace.promise + NOTICE_SECONDS)
        return None if seen is None else seen.at


def _spread(seconds: list[float]) -> dict[str, float]:
    return {"median": median(seconds), "most": max(seconds)} if seconds else {}


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
