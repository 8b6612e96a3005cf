"""What the agent is told and what Ollama is told: addresses, context, keep-alive."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ops import kv_cache
from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.rules.probes import ollama_port
from ops.lint.rules.volumes import AGENT_RUNTIME_DIR, RUNTIME_DIR
from ops.lint.view import UNREADABLE, View, variable_of
from probe_agent.ollama.names import short_name
from probe_agent.variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = ("127.", "localhost", "::1", "[::1]")


@rule("agent-settings")
def agent_settings(view: View, _options: Options) -> Iterator[Problem]:
    """The agent starts with its environment: every variable is known and valid, judged by the agent's own code."""
    if view.agent is None:
        return
    for problem in view.settings_problems:
        name = variable_of(problem)
        # A file of the image cannot be looked at from here, nor a value that the file only refers to.
        if UNREADABLE in problem or name in view.agent.referred:
            continue
        fix = "Set it." if name not in view.agent.env_places else "Correct it, or remove it: probe-agent --help."
        yield Problem(view.agent.env_place(name), f"the agent refuses to start: {problem}", fix)


@rule("agent-variable")
def agent_variable(view: View, _options: Options) -> Iterator[Problem]:
    """The agent's variables stand on the agent: on another container nobody reads them."""
    for container in view.containers:
        if view.agent is None or container is view.agent:
            continue
        for name in container.env_places:
            if name.startswith(PREFIX):
                own = f"; what Ollama's image reads is {RUNTIME_DIR}" if name == AGENT_RUNTIME_DIR else ""
                reason = f"{name} stands on {container.name!r}, where nobody reads it{own}"
                yield Problem(container.env_place(name), reason, f"Move it to {view.agent.name!r}.")


@rule("agent-bind")
def agent_bind(view: View, _options: Options) -> Iterator[Problem]:
    """The agent listens on all interfaces: the platform's probes do not come from loopback."""
    host = view.agent.env.get("PROBE_AGENT_HOST", "") if view.agent else ""
    if view.agent and host.startswith(LOOPBACK):
        reason = f"the agent listens on {host}: the platform's probes do not reach it"
        yield Problem(view.agent.env_place("PROBE_AGENT_HOST"), reason, "Set PROBE_AGENT_HOST to 0.0.0.0.")


@rule("ollama-bind")
def ollama_bind(view: View, _options: Options) -> Iterator[Problem]:
    """As the ingress Ollama listens on all interfaces and on containerPort; its own default is loopback."""
    ollama = view.ollama
    if ollama is None or ollama is not view.ingress or "OLLAMA_HOST" in ollama.referred:
        return
    place, host = ollama.env_place("OLLAMA_HOST"), ollama.env.get("OLLAMA_HOST", "")
    if host.removeprefix("http://").startswith(LOOPBACK):
        fix = f"Set OLLAMA_HOST to 0.0.0.0:{ollama.port or 11434}."
        yield Problem(place, f"Ollama listens on {host}: no request from outside reaches it", fix)
    if ollama.port is not None and ollama_port(ollama) != ollama.port:
        reason = f"Ollama listens on port {ollama_port(ollama)}, requests go to containerPort {ollama.port}"
        yield Problem(place, reason, f"Set OLLAMA_HOST to 0.0.0.0:{ollama.port}.")


@rule("ollama-url")
def ollama_url(view: View, _options: Options) -> Iterator[Problem]:
    """The agent asks the Ollama beside it: on loopback, on the port that Ollama listens on."""
    if view.ollama is None or view.agent is None or view.settings is None:
        return
    address = urlsplit(view.settings.ollama_url)
    place, port = view.agent.env_place("PROBE_AGENT_OLLAMA_URL"), ollama_port(view.ollama)
    fix = f"Set PROBE_AGENT_OLLAMA_URL to http://127.0.0.1:{port}."
    if (address.port or 80) != port:
        yield Problem(place, f"the agent asks port {address.port or 80}, Ollama listens on {port}", fix)
    elif not (address.hostname or "").startswith(LOOPBACK):
        reason = f"the agent asks {address.hostname}; containers of an instance reach each other on loopback"
        yield Problem(place, reason, fix, Severity.WARNING)


@rule("context")
def context(view: View, _options: Options) -> Iterator[Problem]:
    """Ollama's default context is the agent's pin: requests through /v1 cannot ask for another."""
    if view.ollama is None or view.settings is None or "OLLAMA_CONTEXT_LENGTH" in view.ollama.referred:
        return
    written = view.ollama.env.get("OLLAMA_CONTEXT_LENGTH")
    pins = {pin.num_ctx for pin in view.settings.models if pin.num_ctx is not None}
    place = view.ollama.env_place("OLLAMA_CONTEXT_LENGTH")
    if len(pins) != 1:  # several pins: each model's own parameter says it
        return
    pin = pins.pop()
    if written != str(pin):
        found = f"is {written}" if written else "is not set"
        reason = f"OLLAMA_CONTEXT_LENGTH {found}, the agent pins {pin}: a request through /v1 may reload the model"
        yield Problem(place, reason, f"Set OLLAMA_CONTEXT_LENGTH to '{pin}', or change the pin.")


@rule("keep-alive")
def keep_alive(view: View, _options: Options) -> Iterator[Problem]:
    """Neither Ollama's default nor the agent lets the model go: the next request would pay the load again."""
    fix = "Set it to '-1'."
    if view.ollama and "OLLAMA_KEEP_ALIVE" not in view.ollama.referred:
        value = view.ollama.env.get("OLLAMA_KEEP_ALIVE", "")
        if not value.startswith("-"):
            found = f"OLLAMA_KEEP_ALIVE is {value}" if value else "without OLLAMA_KEEP_ALIVE it is 5 minutes"
            reason = f"{found}: an idle model is unloaded, and the next request pays the load again"
            yield Problem(view.ollama.env_place("OLLAMA_KEEP_ALIVE"), reason, fix)
    if view.agent and view.settings and not view.settings.pinned_forever:
        reason = f"the agent keeps the model for {view.settings.keep_alive} only"
        yield Problem(view.agent.env_place("PROBE_AGENT_KEEP_ALIVE"), reason, fix, Severity.WARNING)


@rule("kv-cache-type")
def kv_cache_type(view: View, _options: Options) -> Iterator[Problem]:
    """Keys and values have a type that Ollama knows: with another the runner ends before a model is loaded."""
    name = "OLLAMA_KV_CACHE_TYPE"
    value = view.ollama.env.get(name, "") if view.ollama else ""
    if view.ollama is None or not value or value.lower() in kv_cache.DOCUMENTED:
        return
    fix = f"Write one of: {', '.join(kv_cache.DOCUMENTED)}."
    if value.lower() in kv_cache.MORE:
        reason = f"Ollama does not document the type {value}, and the image is not built with it"
        yield Problem(view.ollama.env_place(name), reason, fix, Severity.WARNING)
    else:
        reason = f"there is no type {value}: Ollama's runner ends at start, and no model loads"
        yield Problem(view.ollama.env_place(name), reason, fix)


@rule("agent-device")
def agent_device(view: View, _options: Options) -> Iterator[Problem]:
    """With a GPU the agent insists on it: weights that spilled to the CPU are a fault, not a slow success."""
    if view.gpu and view.agent and view.settings and view.settings.device != "gpu":
        reason = "there is a GPU, but the agent takes a model on the CPU as ready"
        fix = "Set PROBE_AGENT_DEVICE to gpu."
        yield Problem(view.agent.env_place("PROBE_AGENT_DEVICE"), reason, fix, Severity.WARNING)


@rule("model-tag")
def model_tag(view: View, _options: Options) -> Iterator[Problem]:
    """A model has a tag of its own: `latest` is another model tomorrow."""
    if view.agent is None or view.settings is None:
        return
    for pin in view.settings.models:
        if short_name(pin.name).endswith(":latest") and pin.digest is None:
            reason = f"{pin.name} means its tag latest, which is another model tomorrow"
            fix = "Name a tag such as gemma3:4b-it-qat, or pin PROBE_AGENT_MODEL_DIGEST."
            yield Problem(view.agent.env_place("PROBE_AGENT_MODEL"), reason, fix, Severity.WARNING)
