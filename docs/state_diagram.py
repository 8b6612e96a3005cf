"""The state diagram of `state-machine.md`, made from the transition table so that it cannot lie.

python docs/state_diagram.py           write it into the page
python docs/state_diagram.py --check   exit 1 when the page is out of date
"""  # noqa: INP001 — a script beside the pages it writes, not a package

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from probe_agent.readiness import TRANSITIONS, ReadinessState

PAGE = Path(__file__).with_name("state-machine.md")
BEGIN = "<!-- diagram: made by docs/state_diagram.py -->"
END = "<!-- end of diagram -->"
TERMINAL = {ReadinessState.FAILED, ReadinessState.STOPPING}
# Observations that every state knows are drawn once, from a node that stands for all of them.
GROUPS = {
    "ANY": ("any state", frozenset(ReadinessState)),
    "GOING": ("any but FAILED and STOPPING", frozenset(set(ReadinessState) - TERMINAL)),
}


def diagram() -> str:
    """Return the transition table as a mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(ReadinessState))}"]
    lines += [f'    state "{text}" as {name}' for name, (text, _) in GROUPS.items()]
    lines += [f"    {source} --> {target} : {', '.join(names)}" for source, target, names in _arrows()]
    return "\n".join(lines)


def _arrows() -> Iterator[tuple[str, str, list[str]]]:
    """Yield the arrows, observations that go the same way together."""
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
        sources[observation.__name__, target].append(state)
    return sources


def _grouped(states: Iterable[ReadinessState]) -> list[str]:
    found = frozenset(states)
    return next(([name] for name, (_, members) in GROUPS.items() if members == found), sorted(found))


def page_with_diagram(page: str) -> str:
    """Return `page` with the diagram between its two marks; `ValueError` when a mark is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} must hold the lines {BEGIN!r} and {END!r}; put them back")
    return f"{before}{BEGIN}\n```mermaid\n{diagram()}\n```\n{END}{after}"


def main() -> int:
    """Write the page, or with --check only compare; return the exit status."""
    parser = argparse.ArgumentParser(description="Write the state diagram into docs/state-machine.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
    check = parser.parse_args().check
    page = PAGE.read_text(encoding="utf-8")
    made = page_with_diagram(page)
    if check and made != page:
        sys.stderr.write(f"{PAGE} is out of date: run python docs/state_diagram.py\n")
        return 1
    if not check:
        PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
