"""The registry of rules: each is a check with a stable id, and its docstring is its documentation."""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ops.lint.findings import Options
from ops.service import structure
from ops.service.model import Service
from ops.service.problem import Problem

Check = Callable[[Service, Options], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A check with its id; `topic` is the heading that it stands under, `meaning` the check's docstring."""

    id: str
    topic: str
    meaning: str
    check: Callable[[Service, Options], Iterable[Problem]]


# Every rule by its id, in the order in which they run.
RULES: dict[str, Rule] = {}


def rule(name: str) -> Callable[[Check], Check]:
    """Register a check under an id; the topic is the first line of its module's docstring."""

    def register(check: Check) -> Check:
        topic = (sys.modules[check.__module__].__doc__ or "").splitlines()[0]
        _add(Rule(name, topic, check.__doc__ or "", check))
        return check

    return register


def _add(new: Rule) -> None:
    if new.id in RULES:
        raise ValueError(f"two rules are called {new.id}")
    RULES[new.id] = new


def _of_any_service(check: structure.Check) -> Check:
    return lambda service, _options: check(service)


for _topic, _checks in structure.TOPICS.items():
    for _id, _check in _checks.items():
        _add(Rule(_id, _topic, _check.__doc__ or "", _of_any_service(_check)))
