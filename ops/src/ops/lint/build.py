"""Rules over a cloudbuild.yaml, beside Cloud Build's own schema."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ops.lint.findings import Options, Problem
from ops.lint.values import items, mapping, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterator

USED = re.compile(r"(?<!\$)\$(?:\{(_[A-Z0-9_]+)\}|(_[A-Z0-9_]+))")


def looks_like_build(value: Any) -> bool:
    """Whether a document is a Cloud Build configuration: it has steps and no kind."""
    return isinstance(value, dict) and "steps" in value and "kind" not in value


def problems(value: dict[str, Any], _options: Options) -> Iterator[tuple[str, Problem]]:
    """Yield a build's problems with their rules' ids."""
    yield from (("build-wait-for", problem) for problem in _waits(value))
    yield from (("build-substitution", problem) for problem in _substitutions(value))


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


def _substitutions(value: dict[str, Any]) -> Iterator[Problem]:
    """A user's substitution that nobody declares is refused, as is a declared one that nobody uses."""
    declared = mapping(value.get("substitutions"))
    used: set[str] = set()
    if text(mapping(value.get("options")).get("substitutionOption")) == "ALLOW_LOOSE":
        return
    for place, line in texts({name: part for name, part in value.items() if name != "substitutions"}):
        if place[-1] == "script":  # substitutions are not put into scripts: what looks like one is the shell's
            continue
        for match in USED.finditer(line):
            name = match[1] or match[2]
            if name not in declared and name not in used:
                fix = f"Declare {name} under substitutions with a default, or write $${name} for the shell's own."
                yield Problem(place, f"uses ${name}, which has no default: the build is refused without it", fix)
            used.add(name)
    inner = {match[1] or match[2] for _, line in texts(declared) for match in USED.finditer(line)}
    automatic = any(mapping(step).get("automapSubstitutions") for step in items(value.get("steps")))
    if automatic or mapping(value.get("options")).get("automapSubstitutions"):
        return
    for name in declared:
        if name not in used | inner:
            yield Problem(
                ("substitutions", str(name)),
                f"{name} is declared, but no step uses it: the build is refused",
                "Use it, remove it, or set options.substitutionOption to ALLOW_LOOSE.",
            )
