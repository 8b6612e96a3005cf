"""Rules over startup probes: the gate between a booted container and traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cloudrun.limits import OLDER_STARTUP_SECONDS, startup_seconds
from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.rules.probes import STARTUP, agent_port, asks_ollama, probes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.lint.view import View


@rule("startup-missing")
def startup_missing(view: View, _options: Options) -> Iterator[Problem]:
    """The ingress and the agent each have a startup probe: the ingress's own surely gates, the sidecar's may."""
    for container, what in ((view.ingress, "the ingress"), (view.agent, "the agent")):
        if container is None or container.probe(STARTUP):
            continue
        if container is view.ingress:
            reason = "the ingress has no startupProbe: it gets a TCP probe, which passes before any model is loaded"
        else:
            reason = f"{what} has no startupProbe: where the platform gates on sidecars, nothing waits for the model"
        yield Problem(container.place, reason, f"Give startupProbe: {_right_action(view)}.")


@rule("startup-tcp")
def startup_tcp(view: View, _options: Options) -> Iterator[Problem]:
    """No startup probe only opens a port: Ollama's opens within seconds, its model answers after minutes."""
    for container, kind, probe in probes(view):
        if kind == STARTUP and probe.kind in ("tcpSocket", "grpc") and container in (view.ingress, view.agent):
            fact = "an open port" if probe.kind == "tcpSocket" else "a gRPC answer"
            reason = f"{fact} is no loaded model: the first requests wait for the load, or fail"
            fix = f"Ask the agent: {_right_action(view)}."
            yield Problem((*probe.place, probe.kind), reason, fix)


@rule("startup-asks-ollama")
def startup_asks_ollama(view: View, _options: Options) -> Iterator[Problem]:
    """The startup probe asks the agent: Ollama answers each of its own paths before a model is loaded."""
    for _, kind, probe in probes(view):
        if kind == STARTUP and probe.kind == "httpGet" and asks_ollama(view, probe):
            reason = f"GET {probe.path} on port {probe.port} is answered by Ollama itself, before any model is loaded"
            fix = f"Ask the agent: {_right_action(view)}."
            yield Problem((*probe.place, "httpGet"), reason, fix)


@rule("startup-budget")
def startup_budget(view: View, _options: Options) -> Iterator[Problem]:
    """Threshold times period stays within the platform's bound; beyond the older bound of 240 s is a warning."""
    most = startup_seconds(gpu=view.gpu)
    for _, kind, probe in probes(view):
        if kind != STARTUP:
            continue
        sum_text = f"failureThreshold x periodSeconds = {probe.threshold} x {probe.period} = {probe.budget} s"
        if probe.budget > most:
            reason = f"{sum_text}; the platform takes at most {most} s" + (" with a GPU" if view.gpu else "")
            yield Problem(probe.place, reason, f"Lower failureThreshold to at most {most // max(probe.period, 1)}.")
        elif probe.budget + probe.initial_delay > OLDER_STARTUP_SECONDS:
            reason = f"{sum_text}, delay {probe.initial_delay} s; older documents and the API's schema say 240 s in all"
            fix = f"Stay within {OLDER_STARTUP_SECONDS} s if the model loads in time; else test with --dry-run."
            yield Problem(probe.place, reason, fix, Severity.WARNING)


@rule("startup-agreement")
def startup_agreement(view: View, _options: Options) -> Iterator[Problem]:
    """Ingress and agent have the same startup probe: whichever the platform gates on, it asks the same."""
    if view.ingress is None or view.agent is None or view.ingress is view.agent:
        return
    first, second = view.ingress.probe(STARTUP), view.agent.probe(STARTUP)
    if first and second and first.question != second.question:
        names = ("kind", "path", "port", "initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
        pairs = zip(names, first.question, second.question, strict=True)
        differ = ", ".join(f"{name} ({_or_none(one)} and {_or_none(two)})" for name, one, two in pairs if one != two)
        reason = f"differs from the startupProbe of the ingress {view.ingress.name!r} in {differ}"
        yield Problem(second.place, reason, "Make both probes the same.")


@rule("startup-hold")
def startup_hold(view: View, _options: Options) -> Iterator[Problem]:
    """The agent's hold is below the probe's time-out: a probe that is held past it counts as failed."""
    if view.agent is None or view.settings is None:
        return
    hold = view.settings.startup_hold_seconds
    port = agent_port(view)
    for _, kind, probe in probes(view):
        if kind == STARTUP and probe.port == port and hold >= probe.timeout:
            reason = f"a startup probe is held for {hold:g} s, and the probe's time-out is {probe.timeout} s: it fails"
            fix = f"Set PROBE_AGENT_STARTUP_HOLD_SECONDS below {probe.timeout}, for example {probe.timeout - 0.5:g}."
            yield Problem(view.agent.env_place("PROBE_AGENT_STARTUP_HOLD_SECONDS"), reason, fix)
            return


@rule("startup-timeout")
def startup_timeout(view: View, _options: Options) -> Iterator[Problem]:
    """The agent's budget for a load is the startup probe's: less gives up early, more is cut by the platform."""
    container = view.ingress or view.agent
    probe = container.probe(STARTUP) if container else None
    if probe is None or view.agent is None or view.settings is None:
        return
    budget = view.settings.startup_timeout_seconds
    if budget != probe.budget:
        reason = (
            f"the agent gives a load {budget:g} s, the startup probe {probe.budget} s ({probe.threshold} x "
            f"{probe.period})"
        )
        fix = f"Set PROBE_AGENT_STARTUP_TIMEOUT_SECONDS to '{probe.budget}'."
        yield Problem(view.agent.env_place("PROBE_AGENT_STARTUP_TIMEOUT_SECONDS"), reason, fix)


def _or_none(value: object) -> object:
    return "none" if value in ("", None) else value


def _right_action(view: View) -> str:
    return f"httpGet: {{path: /startup, port: {agent_port(view) or 9090}}}"
