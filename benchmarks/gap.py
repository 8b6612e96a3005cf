"""The gap: the same service behind five gates; who lets requests in before the model is ready, and who opens late."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import gap_chart
from benchmarks.gap_start import CONCURRENCY, PARALLEL, REQUEST_PERIOD_SECONDS, cold_seconds, start
from benchmarks.gates import GATES
from lab.images.tree import ASKED
from lab.measuring import gap, servers
from lab.measuring.gap import AT_ONCE_SHARE, Start
from lab.measuring.result import FOLDER, Result, Target
from lab.measuring.servers import Server

NAME = "gap"
ROUNDS, QUICK_ROUNDS = 10, 1
LIMIT_LATE_SECONDS = 0.05
# Of what the first request behind the TCP gate takes: a warm answer needs a thirtieth of it, the system prompt read
# anew more than half.
LIMIT_TO_TCP = 0.1
METHOD = (
    "Each start is a new Ollama and a new agent, made at the same instant, which loads the model and warms its "
    f"{PARALLEL} slot with a system prompt of some 1,000 tokens; only what opens the gate differs. Meanwhile a client "
    f"sends a chat with the same system prompt each {REQUEST_PERIOD_SECONDS:g} s (one token is asked for), which waits "
    f"at the gate, and then for one of {CONCURRENCY} places. 'early': Ollama's own total_duration of the answer is "
    f"more than {AT_ONCE_SHARE:g} of that of the same chat as the first request to a new Ollama with neither agent nor "
    "gate, made in each round; the agent has no part in it. 'late': from the agent's READY, its own word, to the "
    "gate's opening (negative: before). 'first let in': from being let in to the answer's end. 'waited': the same from "
    "the client's sending. The gates in turns, whose order changes, the first round is dropped; what is compared with "
    "TCP is compared within each round, for the machine's load changes."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Measure all gates in turns, and draw them."""
    chosen = servers.choose(folder)
    server = replace(chosen, environ={**chosen.environ, "OLLAMA_NUM_PARALLEL": PARALLEL})
    prompts = folder / "warmup.jsonl"
    prompts.write_text(json.dumps({"messages": ASKED}) + "\n", encoding="utf-8")
    turns = range((QUICK_ROUNDS if quick else ROUNDS) + 1)
    rounds = [asyncio.run(_round(server, prompts, turn)) for turn in turns][1:]
    if not quick:
        shown = {GATES[name].title: gap.middle([each[name] for each in rounds]) for name in GATES}
        gap_chart.draw(shown, FOLDER / f"{NAME}.svg")
    measured = {name: gap.figures(rounds, name) for name in GATES}
    late, to_tcp = gap.late(rounds, "agent_held"), gap.first_let_in_to_tcp(rounds, "agent_held")
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(
            Target("requests let in early, agent's held probe", gap.early(rounds, "agent_held"), 0, ""),
            Target("requests let in early, agent polled", gap.early(rounds, "agent_polled"), 0, ""),
            Target("READY to the open gate, agent's held probe, median", late, LIMIT_LATE_SECONDS, "s"),
            Target(
                "answer of the first let in, held probe / TCP, median of the rounds", median(to_tcp), LIMIT_TO_TCP, ""
            ),
        ),
        measured=measured,
        tables=(gap.table(measured, {name: gate.title for name, gate in GATES.items()}),),
    )


async def _round(server: Server, prompts: Path, turn: int) -> dict[str, Start]:
    """Start once behind each gate, beginning with another one each turn."""
    names = [*GATES]
    cold = await cold_seconds(server)
    order = names[turn % len(names) :] + names[: turn % len(names)]
    return {name: await start(server, prompts, GATES[name], cold) for name in order}
