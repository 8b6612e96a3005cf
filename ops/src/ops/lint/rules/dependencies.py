"""container-dependencies: who waits for whom."""

from __future__ import annotations

import json
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.rules.probes import AGENT_PATHS, STARTUP
from ops.lint.view import REVISION_ANNOTATIONS, View

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "run.googleapis.com/container-dependencies"
PLACE = (*REVISION_ANNOTATIONS, NAME)


def dependencies(view: View) -> dict[str, list[str]] | None:
    """Return who waits for whom; None when the annotation's text is not of that form."""
    try:
        parsed = json.loads(view.annotations.get(NAME, "{}"))
    except (ValueError, TypeError):
        return None
    right = isinstance(parsed, dict) and all(
        isinstance(needs, list) and all(isinstance(need, str) for need in needs) for needs in parsed.values()
    )
    return parsed if right else None


@rule("dependency-form")
def dependency_form(view: View, _options: Options) -> Iterator[Problem]:
    """The annotation is JSON: for each container, the list of those it waits for."""
    if dependencies(view) is None:
        yield Problem(PLACE, "expected JSON that maps names to lists of names", 'Write \'{"b":["a"]}\'.')


@rule("dependency-unknown")
def dependency_unknown(view: View, _options: Options) -> Iterator[Problem]:
    """Dependencies name containers of the file."""
    names = {container.name for container in view.containers}
    found = dependencies(view) or {}
    for name in sorted({*found, *(need for needs in found.values() for need in needs)} - names):
        fix = f"Name one of: {', '.join(sorted(names))}."
        yield Problem(PLACE, f"no container is called {name!r}", fix)


@rule("dependency-cycle")
def dependency_cycle(view: View, _options: Options) -> Iterator[Problem]:
    """Containers do not wait for each other in a circle: none would start."""
    try:
        TopologicalSorter(dependencies(view) or {}).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        yield Problem(PLACE, f"the containers wait for each other: {circle}", "Remove one of the arrows.")


@rule("dependency-probe")
def dependency_probe(view: View, _options: Options) -> Iterator[Problem]:
    """A container that is waited for has a startup probe of its own."""
    needed = {need for needs in (dependencies(view) or {}).values() for need in needs}
    for container in view.containers:
        if container.name in needed and not container.probe(STARTUP):
            reason = f"{container.name!r} is waited for, but has no startupProbe that says when it is there"
            yield Problem(container.place, reason, "Give it a startupProbe.")


@rule("dependency-deadlock")
def dependency_deadlock(view: View, _options: Options) -> Iterator[Problem]:
    """Ollama does not wait for the agent, which waits for Ollama's model: a deadlock that no cycle shows."""
    if view.ollama is None or view.agent is None:
        return
    graph = dependencies(view) or {}
    if _reaches(graph, view.ollama.name, view.agent.name):
        reason = "Ollama waits for the agent's startup probe, which passes only when Ollama's model is ready: deadlock"
        yield Problem(PLACE, reason, "Remove the dependency: the agent retries until Ollama is there.")
    elif _reaches(graph, view.agent.name, view.ollama.name):
        probe = view.ollama.probe(STARTUP)
        if probe and probe.path in AGENT_PATHS[STARTUP]:
            reason = "the agent starts after Ollama's startup probe, which the agent itself has to answer: deadlock"
            yield Problem(PLACE, reason, "Remove the dependency: the agent retries until Ollama is there.")
        else:
            reason = "the agent waits for Ollama though it retries by itself: the load only begins later"
            yield Problem(PLACE, reason, "Remove the dependency.", Severity.WARNING)


def _reaches(graph: dict[str, list[str]], start: str, goal: str) -> bool:
    waiting, seen = [start], {start}
    while waiting:
        for need in graph.get(waiting.pop(), []):
            if need == goal:
                return True
            if need not in seen:
                seen.add(need)
                waiting.append(need)
    return False
