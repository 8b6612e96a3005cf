"""One thing that is wrong with a service.yaml: where, why it matters, and what to write instead."""

from dataclasses import dataclass
from enum import StrEnum

# The keys and indices that lead from the top of a document to a value.
Place = tuple[str | int, ...]


class Severity(StrEnum):
    """An error must not be deployed; a warning should be looked at."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a check finds."""

    place: Place
    reason: str
    fix: str
    severity: Severity = Severity.ERROR


def path_text(place: Place) -> str:
    """Write a place for people: spec.template.spec.containers[0]; a key with dots in brackets and quotes."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif all(letter.isalnum() or letter in "_-" for letter in step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text or "(top level)"
