"""Startup probes: the gate between a booted container and traffic."""

from collections.abc import Iterator

from ops.cloudrun.limits import OLDER_STARTUP_SECONDS, startup_seconds
from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.lint.rules.probes import asks_ollama
from ops.service.containers import GRPC, HTTP_GET, STARTUP, TCP_SOCKET
from ops.service.model import Service
from ops.service.problem import Problem, Severity
from ops.service.structure import probes


@rule("startup-missing")
def startup_missing(service: Service, _options: Options) -> Iterator[Problem]:
    """The ingress of a service with a model and the agent each have a startup probe."""
    ingress, agent = service.sole_ingress, service.agent
    if ingress and not ingress.startup and _serves_model(service):
        reason = "the ingress has no startupProbe: it gets a TCP probe, which passes before any model is loaded"
        yield Problem(ingress.place, reason, _fix(service))
    if agent and not agent.startup and agent is not ingress:
        reason = "the agent has no startupProbe: where the platform gates on sidecars, nothing waits for the model"
        yield Problem(agent.place, reason, _fix(service))


@rule("startup-tcp")
def startup_tcp(service: Service, _options: Options) -> Iterator[Problem]:
    """No startup probe of Ollama, the agent or the ingress before them only opens a port: the port opens in seconds."""
    gates = [service.ollama, service.agent, service.sole_ingress if _serves_model(service) else None]
    for container, field, probe in probes(service):
        if field == STARTUP and probe.kind in (TCP_SOCKET, GRPC):
            if container not in gates and not asks_ollama(service, probe):
                continue
            fact = "an open port" if probe.kind == TCP_SOCKET else "a gRPC answer"
            reason = f"{fact} does not mean a loaded model: the first requests wait for the load, or fail"
            yield Problem((*probe.place, probe.kind), reason, _fix(service))


@rule("startup-asks-ollama")
def startup_asks_ollama(service: Service, _options: Options) -> Iterator[Problem]:
    """The startup probe asks the agent: Ollama answers all of its own paths before a model is loaded."""
    for _, field, probe in probes(service):
        if field == STARTUP and probe.kind == HTTP_GET and asks_ollama(service, probe):
            reason = f"Ollama itself answers GET {probe.path} on port {probe.port}, before any model is loaded"
            yield Problem((*probe.place, HTTP_GET), reason, _fix(service))


@rule("startup-budget")
def startup_budget(service: Service, _options: Options) -> Iterator[Problem]:
    """Threshold times period stays within the platform's bound; more than the older bound of 240 s is a warning."""
    most = startup_seconds(gpu=service.gpu)
    for _, field, probe in probes(service):
        if field != STARTUP:
            continue
        threshold, period, delay = probe.failure_threshold, probe.period_seconds, probe.initial_delay_seconds
        budget = f"failureThreshold x periodSeconds = {threshold} x {period} = {probe.budget_seconds} s"
        if probe.budget_seconds > most:
            reason = f"{budget}; the platform takes at most {most} s" + (" with a GPU" if service.gpu else "")
            yield Problem(probe.place, reason, f"Lower failureThreshold to at most {most // max(period, 1)}.")
        elif probe.budget_seconds + delay > OLDER_STARTUP_SECONDS:
            reason = f"{budget}, delay {delay} s; older documents and the API's schema say 240 s in all"
            fix = f"Stay within {OLDER_STARTUP_SECONDS} s if the model loads in time; else test with --dry-run."
            yield Problem(probe.place, reason, fix, Severity.WARNING)


@rule("startup-agreement")
def startup_agreement(service: Service, _options: Options) -> Iterator[Problem]:
    """Ingress and agent have the same startup probe: whichever the platform gates on asks the same."""
    ingress, agent = service.sole_ingress, service.agent
    if ingress is None or agent is None or ingress is agent or not ingress.startup or not agent.startup:
        return
    first, second = ingress.startup.fields, agent.startup.fields
    differ = [f"{name} ({first[name] or 'none'} and {second[name] or 'none'})" for name in first]
    differ = [words for words, name in zip(differ, first, strict=True) if first[name] != second[name]]
    if differ:
        reason = f"differs from the startupProbe of the ingress {ingress.name!r} in {', '.join(differ)}"
        yield Problem(agent.startup.place, reason, "Make both probes the same.")


@rule("startup-hold")
def startup_hold(service: Service, _options: Options) -> Iterator[Problem]:
    """The agent holds a startup probe for less than the probe's timeout: a longer hold counts as a failure."""
    if service.agent is None or service.settings is None:
        return
    hold = service.settings.startup_hold_seconds
    for _, field, probe in probes(service):
        timeout = probe.timeout_seconds
        if field == STARTUP and probe.port == service.agent_port and hold >= timeout:
            reason = f"the agent holds a startup probe for {hold:g} s, and the probe's timeout is {timeout} s: it fails"
            fix = f"Set PROBE_AGENT_STARTUP_HOLD_SECONDS below {timeout}, for example {timeout - 0.5:g}."
            yield Problem(service.agent.env_place("PROBE_AGENT_STARTUP_HOLD_SECONDS"), reason, fix)
            return


@rule("startup-timeout")
def startup_timeout(service: Service, _options: Options) -> Iterator[Problem]:
    """The agent's time for a load is the startup probe's: with less it gives up early, with more the platform does."""
    container = service.sole_ingress or service.agent
    probe = container.startup if container else None
    if probe is None or service.agent is None or service.settings is None:
        return
    budget = service.settings.startup_timeout_seconds
    if budget != probe.budget_seconds:
        reason = (
            f"the agent gives a load {budget:g} s, the startup probe {probe.budget_seconds} s "
            f"({probe.failure_threshold} x {probe.period_seconds})"
        )
        fix = f"Set PROBE_AGENT_STARTUP_TIMEOUT_SECONDS to '{probe.budget_seconds}'."
        yield Problem(service.agent.env_place("PROBE_AGENT_STARTUP_TIMEOUT_SECONDS"), reason, fix)


def _serves_model(service: Service) -> bool:
    return bool(service.ollama or service.agent or service.gpu)


def _fix(service: Service) -> str:
    ask = "Ask the agent" if service.agent else "Add the probe-agent as a sidecar and ask it"
    return f"{ask}: startupProbe: {{httpGet: {{path: /startup, port: {service.agent_port or 9090}}}}}."
