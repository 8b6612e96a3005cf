"""Deadlocks that container-dependencies can cause between Ollama and the agent."""

from collections.abc import Iterator, Mapping, Sequence

from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.lint.rules.probes import AGENT_PATHS
from ops.service.containers import STARTUP
from ops.service.model import Service
from ops.service.problem import Problem, Severity
from ops.service.structure import DEPENDENCIES_PLACE


@rule("dependency-deadlock")
def dependency_deadlock(service: Service, _options: Options) -> Iterator[Problem]:
    """Ollama does not wait for the agent, which waits for Ollama's model: a deadlock without a cycle in the file."""
    if service.ollama is None or service.agent is None:
        return
    graph = service.dependencies or {}
    remove = "Remove the dependency: the agent retries until Ollama is there."
    if _reaches(graph, service.ollama.name, service.agent.name):
        reason = "Ollama waits for the agent's startup probe, which passes only when Ollama's model is ready: deadlock"
        yield Problem(DEPENDENCIES_PLACE, reason, remove)
    elif _reaches(graph, service.agent.name, service.ollama.name):
        probe = service.ollama.startup
        if probe and probe.path in AGENT_PATHS[STARTUP]:
            reason = "the agent starts after Ollama's startup probe, which the agent itself has to answer: deadlock"
            yield Problem(DEPENDENCIES_PLACE, reason, remove)
        else:
            reason = "the agent waits for Ollama though it retries by itself: the load only begins later"
            yield Problem(DEPENDENCIES_PLACE, reason, "Remove the dependency.", Severity.WARNING)


def _reaches(graph: Mapping[str, Sequence[str]], start: str, goal: str) -> bool:
    waiting, seen = [start], {start}
    while waiting:
        for need in graph.get(waiting.pop(), []):
            if need == goal:
                return True
            if need not in seen:
                seen.add(need)
                waiting.append(need)
    return False
