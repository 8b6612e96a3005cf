"""Rules over any probe: bounds, time-outs, whom it asks, and what its answer may cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cloudrun.limits import GPU_STARTUP_SECONDS, PROBE_SECONDS, startup_seconds
from ops.lint.findings import Options, Problem, Severity, rule
from probe_agent.endpoints.paths import PATHS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.lint.view import Container, Probe, View

STARTUP, LIVENESS, READINESS = "startupProbe", "livenessProbe", "readinessProbe"
KINDS = (STARTUP, LIVENESS, READINESS)
AGENT_PATHS = {STARTUP: PATHS["startup"], READINESS: PATHS["ready"], LIVENESS: PATHS["live"]}


def probes(view: View) -> Iterator[tuple[Container, str, Probe]]:
    """Yield every probe with its container and kind."""
    for container in view.containers:
        for kind in KINDS:
            if probe := container.probe(kind):
                yield container, kind, probe


def agent_port(view: View) -> int | None:
    """Return the port that the agent listens on, or None without an agent or a readable port."""
    if view.agent is None:
        return None
    text = view.agent.env.get("PROBE_AGENT_PORT", "") or "9090"
    return int(text) if text.isdecimal() and "PROBE_AGENT_PORT" not in view.agent.referred else None


def asks_ollama(view: View, probe: Probe) -> bool:
    """Whether a probe's port is Ollama's."""
    return view.ollama is not None and probe.port is not None and probe.port == ollama_port(view.ollama)


def ollama_port(ollama: Container) -> int | None:
    """Return the port that Ollama listens on: OLLAMA_HOST's, else its container's, else 11434."""
    port = ollama.env.get("OLLAMA_HOST", "").rsplit(":", 1)[-1]
    return int(port) if port.isdecimal() else ollama.port or 11434


@rule("probe-bounds")
def probe_bounds(view: View, _options: Options) -> Iterator[Problem]:
    """Delay, period, time-out and threshold lie within the platform's bounds, or it refuses the file."""
    for _, kind, probe in probes(view):
        most = startup_seconds(gpu=view.gpu) if kind == STARTUP else PROBE_SECONDS
        for name, value, low in (
            ("initialDelaySeconds", probe.initial_delay, 0),
            ("periodSeconds", probe.period, 1),
            ("timeoutSeconds", probe.timeout, 1),
            ("failureThreshold", probe.threshold, 1),
        ):
            if not low <= value <= most:
                reason = f"{name} is {value}; the platform takes {low} to {most}" + (
                    " with a GPU" if most == GPU_STARTUP_SECONDS else ""
                )
                yield Problem((*probe.place, name), reason, f"Choose a value from {low} to {most}.")


@rule("probe-timing")
def probe_timing(view: View, _options: Options) -> Iterator[Problem]:
    """A time-out ends before the next probe begins: timeoutSeconds < periodSeconds, as the API demands."""
    for _, _, probe in probes(view):
        if probe.timeout >= probe.period:
            reason = f"timeoutSeconds {probe.timeout} is not below periodSeconds {probe.period}"
            yield Problem((*probe.place, "timeoutSeconds"), reason, f"Set it to at most {max(probe.period - 1, 1)}.")


@rule("probe-action")
def probe_action(view: View, _options: Options) -> Iterator[Problem]:
    """A probe asks something: httpGet, tcpSocket or grpc. Cloud Run knows no exec."""
    for _, _, probe in probes(view):
        if not probe.kind:
            fix = "Give httpGet with a path and a port."
            yield Problem(probe.place, "the probe has no httpGet, tcpSocket or grpc: it asks nothing", fix)


@rule("probe-port")
def probe_port(view: View, _options: Options) -> Iterator[Problem]:
    """A probe that asks the agent asks the port that the agent listens on; any other port is nobody's."""
    port = agent_port(view)
    if port is None or view.agent is None:
        return
    for container, _, probe in probes(view):
        if (
            probe.kind
            and probe.port != port
            and (container is view.agent or (container is view.ollama and not asks_ollama(view, probe)))
        ):
            reason = f"asks port {probe.port}, where nobody answers: the agent listens on {port} (PROBE_AGENT_PORT)"
            yield Problem((*probe.place, probe.kind), reason, f"Write port: {port}.")


@rule("probe-path")
def probe_path(view: View, _options: Options) -> Iterator[Problem]:
    """Each kind of probe asks the agent its own question: startup, ready and live mean different things."""
    port = agent_port(view)
    for _, kind, probe in probes(view):
        if probe.kind == "httpGet" and port and probe.port == port and probe.path not in AGENT_PATHS[kind]:
            reason = f"a {kind} asks the agent {probe.path}; its question is {AGENT_PATHS[kind][0]}"
            if kind == LIVENESS:
                reason += ": a busy or loading model would get the container killed"
            yield Problem((*probe.place, "httpGet"), reason, f"Write path: {AGENT_PATHS[kind][0]}.")


@rule("liveness-on-ollama")
def liveness_on_ollama(view: View, _options: Options) -> Iterator[Problem]:
    """Ollama has no liveness probe: a busy server answers late, is killed, and the next costs a cold start."""
    for container, kind, probe in probes(view):
        if kind == LIVENESS and (container is view.ollama or asks_ollama(view, probe)):
            reason = "a liveness probe on Ollama kills a busy model: requests in flight get 503, then a cold start"
            fix = "Remove it; let the readiness probe ask the agent's /ready, and the agent have /live."
            yield Problem(probe.place, reason, fix, Severity.WARNING)


@rule("readiness-pace")
def readiness_pace(view: View, _options: Options) -> Iterator[Problem]:
    """The readiness probe is no slower than the agent's own watch, or a loss is seen late."""
    if view.settings is None:
        return
    for _, kind, probe in probes(view):
        if kind == READINESS and probe.budget > 2 * view.settings.period_seconds:
            reason = (
                f"takes {probe.budget} s ({probe.threshold} x {probe.period}) to end traffic to a lost model; "
                f"the agent looks every {view.settings.period_seconds:g} s"
            )
            fix = "Lower failureThreshold or periodSeconds to two of the agent's looks."
            yield Problem(probe.place, reason, fix, Severity.WARNING)
