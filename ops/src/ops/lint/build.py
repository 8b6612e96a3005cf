"""Rules over a cloudbuild.yaml, beside Cloud Build's own schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.lint import substitutions
from ops.lint.findings import Options, Problem
from ops.lint.values import items, mapping, text

if TYPE_CHECKING:
    from collections.abc import Iterator


def problems(value: dict[str, Any], options: Options) -> Iterator[tuple[str, Problem]]:
    """Yield a build's problems with their rules' ids."""
    yield from (("build-wait-for", problem) for problem in _waits(value))
    yield from (("build-substitution", problem) for problem in substitutions.problems(value, options))


def _waits(value: dict[str, Any]) -> Iterator[Problem]:
    """A step may wait only for steps above it: others are refused."""
    seen: list[str] = []
    for index, step in enumerate(items(value.get("steps"))):
        for number, name in enumerate(items(mapping(step).get("waitFor"))):
            if name not in ("-", *seen):
                place = ("steps", index, "waitFor", number)
                fix = f"Name one of: {', '.join(['-', *seen])}."
                yield Problem(place, f"waits for {name!r}, which is no step above this one", fix)
        if name := text(mapping(step).get("id")):
            if name in seen:
                yield Problem(("steps", index, "id"), f"two steps are called {name!r}", "Rename one of them.")
            seen.append(name)
