"""The diagram of `state-machine.md`, from the transition table. `python -m lab.pages.state_diagram [--check]`."""

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator

from lab.pages.made_part import MadePart
from probe_agent.readiness.states import TRANSITIONS, ReadinessState

TERMINAL = {ReadinessState.FAILED, ReadinessState.STOPPING}
# Observations that every state knows are drawn once, from a node that stands for all of them.
GROUPS = {
    "ANY": ("any state", frozenset(ReadinessState)),
    "GOING": ("any but FAILED and STOPPING", frozenset(set(ReadinessState) - TERMINAL)),
}


def diagram() -> str:
    """Return the transition table as a mermaid state diagram, in its fence."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {next(iter(ReadinessState))}"]
    lines += [f'    state "{text}" as {name}' for name, (text, _) in GROUPS.items()]
    lines += [f"    {source} --> {target} : {', '.join(names)}" for source, target, names in _arrows()]
    return "\n".join([*lines, "```"])


def _arrows() -> Iterator[tuple[str, str, list[str]]]:
    """Yield one arrow per source and target, with all observations that take it."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (observation, target), sources in _sources().items():
        for source in _grouped(sources):
            arrows[source, target].append(observation)
    order: list[str] = [*ReadinessState, *GROUPS]
    for (begin, end), names in sorted(arrows.items(), key=lambda arrow: order.index(arrow[0][0])):
        yield begin, end, names


def _sources() -> dict[tuple[str, ReadinessState], list[ReadinessState]]:
    sources: dict[tuple[str, ReadinessState], list[ReadinessState]] = defaultdict(list)
    for (state, observation), target in TRANSITIONS.items():
        sources[observation, target].append(state)
    return sources


def _grouped(states: Iterable[ReadinessState]) -> list[str]:
    found = frozenset(states)
    return next(([name] for name, (_, members) in GROUPS.items() if members == found), sorted(found))


DIAGRAM = MadePart("state-machine.md", "diagram", "lab.pages.state_diagram", diagram)

if __name__ == "__main__":
    sys.exit(DIAGRAM.main())
