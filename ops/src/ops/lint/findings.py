"""What a rule says (`Problem`), what the operator reads (`Finding`), and the registry of rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ops.lint.view import View

Place = tuple[str | int, ...]
"""The way from the top of a document to a value: keys and indices."""


class Severity(StrEnum):
    """Whether the file must not be deployed so, or somebody should look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked for.

    `gpu_quota` is GPUs per region; 3 are granted without asking. `substitutions` are a build's that its file has not.
    """

    deploy: bool = False
    gpu_quota: int = 3
    substitutions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, why it matters, and what to write instead."""

    place: Place
    reason: str
    fix: str
    severity: Severity = Severity.ERROR


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem with its rule and its line, counted from 1."""

    rule: str
    severity: Severity
    file: str
    line: int
    path: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A check with its stable id; `meaning` is the check's docstring."""

    id: str
    meaning: str
    check: Callable[[View, Options], Iterable[Problem]]


RULES: dict[str, Rule] = {}
"""Every rule over a service, by id, in the order in which they are run."""


def rule(
    name: str,
) -> Callable[[Callable[[View, Options], Iterator[Problem]]], Callable[[View, Options], Iterator[Problem]]]:
    """Register a check under a stable id; its docstring says what is checked and why."""

    def register(check: Callable[[View, Options], Iterator[Problem]]) -> Callable[[View, Options], Iterator[Problem]]:
        if name in RULES:
            raise ValueError(f"two rules are called {name}")
        RULES[name] = Rule(name, check.__doc__ or "", check)
        return check

    return register


def path_text(place: Place) -> str:
    """Write a place as a person would: spec.template.spec.containers[0]; a key with dots in brackets and quotes."""
    text = ""
    for step in place:
        if isinstance(step, int):
            text += f"[{step}]"
        elif all(letter.isalnum() or letter in "_-" for letter in step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text or "(top level)"
