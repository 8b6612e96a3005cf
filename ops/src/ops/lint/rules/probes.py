"""Probes of the agent and of Ollama: which port and path they ask, and what their answer may cause."""

from collections.abc import Iterator

from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.service.containers import HTTP_GET, LIVENESS, READINESS, STARTUP, Probe
from ops.service.model import Service
from ops.service.problem import Problem, Severity
from ops.service.structure import probes
from probe_agent.endpoints.paths import PATHS

AGENT_PATHS = {STARTUP: PATHS["startup"], READINESS: PATHS["ready"], LIVENESS: PATHS["live"]}


def asks_ollama(service: Service, probe: Probe) -> bool:
    """Whether a probe's port is Ollama's."""
    return probe.port is not None and probe.port == service.ollama_port


@rule("probe-port")
def probe_port(service: Service, _options: Options) -> Iterator[Problem]:
    """A probe that asks the agent names the port that the agent listens on."""
    port, agent = service.agent_port, service.agent
    if port is None or agent is None:
        return
    for container, _, probe in probes(service):
        of_ollama = container is service.ollama and not asks_ollama(service, probe)
        if probe.kind and probe.port != port and (container is agent or of_ollama):
            reason = f"asks port {probe.port}, where nothing listens: the agent listens on {port} (PROBE_AGENT_PORT)"
            yield Problem((*probe.place, probe.kind), reason, f"Write port: {port}.")


@rule("probe-path")
def probe_path(service: Service, _options: Options) -> Iterator[Problem]:
    """Each kind of probe asks the agent its own path: startup, ready and live mean different things."""
    port = service.agent_port
    for _, field, probe in probes(service):
        path = AGENT_PATHS[field][0]
        if probe.kind == HTTP_GET and port and probe.port == port and probe.path not in AGENT_PATHS[field]:
            reason = f"a {field} asks the agent for {probe.path}; its path is {path}"
            if field == LIVENESS:
                reason += ": a busy or loading model would get the container killed"
            yield Problem((*probe.place, HTTP_GET), reason, f"Write path: {path}.")


@rule("liveness-on-ollama")
def liveness_on_ollama(service: Service, _options: Options) -> Iterator[Problem]:
    """Ollama has no liveness probe: a busy server answers late and is killed, and the next one pays a cold start."""
    for container, field, probe in probes(service):
        if field == LIVENESS and (container is service.ollama or asks_ollama(service, probe)):
            reason = "a liveness probe on Ollama kills a busy model: requests in flight get 503, then a cold start"
            fix = "Remove it; let the readiness probe ask the agent's /ready, and give the agent /live."
            yield Problem(probe.place, reason, fix, Severity.WARNING)


@rule("readiness-pace")
def readiness_pace(service: Service, _options: Options) -> Iterator[Problem]:
    """The readiness probe is no slower than the agent's own checks, or a lost model is noticed late."""
    if service.settings is None:
        return
    for _, field, probe in probes(service):
        if field == READINESS and probe.budget_seconds > 2 * service.settings.period_seconds:
            reason = (
                f"takes {probe.budget_seconds} s ({probe.failure_threshold} x {probe.period_seconds}) to end traffic "
                f"to a lost model; the agent checks every {service.settings.period_seconds:g} s"
            )
            fix = "Lower failureThreshold or periodSeconds to two of the agent's periods."
            yield Problem(probe.place, reason, fix, Severity.WARNING)
