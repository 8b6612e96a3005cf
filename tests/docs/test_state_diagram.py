"""The state diagram in the documentation, beyond `test_made_parts.py`."""

from lab.pages import state_diagram
from probe_agent.readiness.states import TRANSITIONS, ReadinessState


def test_every_transition_is_drawn() -> None:
    """Each row of the table is an arrow of the diagram, its group of states spelled out, and there are no others."""
    members = {name: states for name, (_, states) in state_diagram.GROUPS.items()}
    drawn = set()
    for line in state_diagram.diagram().splitlines():
        arrow, _, names = line.strip().partition(" : ")
        if names:
            source, _, target = arrow.partition(" --> ")
            drawn |= {
                (state, name, ReadinessState(target))
                for state in members.get(source) or {ReadinessState(source)}
                for name in names.split(", ")
            }
    assert drawn == {(state, seen.value, target) for (state, seen), target in TRANSITIONS.items()}
