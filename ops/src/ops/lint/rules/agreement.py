"""Settings on which the agent and Ollama must agree: addresses, context, keep_alive."""

from collections.abc import Iterator

from ops import kv_cache
from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.lint.rules.volumes import AGENT_RUNTIME_DIR, RUNTIME_DIR
from ops.service.model import UNREADABLE, Service, variable_of
from ops.service.problem import Problem, Severity
from probe_agent.ollama import host
from probe_agent.ollama.names import short_name
from probe_agent.variables import PREFIX


@rule("agent-settings")
def agent_settings(service: Service, _options: Options) -> Iterator[Problem]:
    """The agent starts with its environment: its own code knows every variable and takes every value."""
    if service.agent is None:
        return
    for problem in service.settings_problems:
        name = variable_of(problem)
        # A file of the image cannot be looked at from here, nor a value that the file only refers to.
        if UNREADABLE in problem or name in service.agent.referred:
            continue
        fix = "Set it." if name not in service.agent.env_places else "Correct it, or remove it: probe-agent --help."
        yield Problem(service.agent.env_place(name), f"the agent refuses to start: {problem}", fix)


@rule("agent-variable")
def agent_variable(service: Service, _options: Options) -> Iterator[Problem]:
    """The agent's variables stand on the agent: another container does not read them."""
    for container in service.containers:
        if service.agent is None or container is service.agent:
            continue
        for name in container.env_places:
            if name.startswith(PREFIX):
                own = f"; Ollama's image reads {RUNTIME_DIR}" if name == AGENT_RUNTIME_DIR else ""
                reason = f"{name} stands on {container.name!r}, which does not read it{own}"
                yield Problem(container.env_place(name), reason, f"Move it to {service.agent.name!r}.")


@rule("agent-bind")
def agent_bind(service: Service, _options: Options) -> Iterator[Problem]:
    """The agent listens on all interfaces: the platform's probes do not come from loopback."""
    address = service.agent.env.get("PROBE_AGENT_HOST", "") if service.agent else ""
    if service.agent and address and host.parse(address).is_loopback:
        reason = f"the agent listens on {address}: the platform's probes do not reach it"
        yield Problem(service.agent.env_place("PROBE_AGENT_HOST"), reason, "Set PROBE_AGENT_HOST to 0.0.0.0.")


@rule("ollama-bind")
def ollama_bind(service: Service, _options: Options) -> Iterator[Problem]:
    """As the ingress, Ollama listens on all interfaces and on containerPort; OLLAMA_HOST without a port is 11434."""
    ollama, port = service.ollama, service.ollama_port
    if ollama is None or ollama is not service.sole_ingress or port is None:
        return
    place, written = ollama.env_place("OLLAMA_HOST"), ollama.env.get("OLLAMA_HOST", "")
    fix = f"Set OLLAMA_HOST to 0.0.0.0:{ollama.port or host.DEFAULT_PORT}."
    if written and host.parse(written).is_loopback:
        yield Problem(place, f"Ollama listens on {written}: no request from outside reaches it", fix)
    if ollama.port is not None and port != ollama.port:
        unset = "" if written else ", unless its image sets OLLAMA_HOST"
        reason = f"Ollama listens on port {port}{unset}; requests go to containerPort {ollama.port}"
        yield Problem(place, reason, fix, Severity.ERROR if written else Severity.WARNING)


@rule("ollama-url")
def ollama_url(service: Service, _options: Options) -> Iterator[Problem]:
    """The agent asks the Ollama beside it: on loopback, on the port that Ollama listens on."""
    if service.ollama is None or service.agent is None or service.settings is None or service.ollama_port is None:
        return
    address = host.parse(service.settings.ollama_url)
    port = service.ollama_port
    place = service.agent.env_place("PROBE_AGENT_OLLAMA_URL")
    fix = f"Set PROBE_AGENT_OLLAMA_URL to http://127.0.0.1:{port}."
    if address.port not in (port, service.ollama.port):  # where the two differ, `ollama-bind` says which is right
        yield Problem(place, f"the agent asks port {address.port}, Ollama listens on {port}", fix)
    elif not address.is_loopback:
        reason = f"the agent asks {address.name}; the containers of an instance reach each other on loopback"
        yield Problem(place, reason, fix, Severity.WARNING)


@rule("context")
def context(service: Service, _options: Options) -> Iterator[Problem]:
    """Ollama's default context is the one the agent asks for: requests through /v1 cannot ask for another."""
    if service.ollama is None or service.settings is None or "OLLAMA_CONTEXT_LENGTH" in service.ollama.referred:
        return
    written = service.ollama.env.get("OLLAMA_CONTEXT_LENGTH")
    pins = {pin.num_ctx for pin in service.settings.models if pin.num_ctx is not None}
    place = service.ollama.env_place("OLLAMA_CONTEXT_LENGTH")
    if len(pins) != 1:  # several contexts: each model's own parameter holds one
        return
    pin = pins.pop()
    if written != str(pin):
        found = f"is {written}" if written else "is not set"
        reason = f"OLLAMA_CONTEXT_LENGTH {found}, the agent asks for {pin}: a request through /v1 may reload the model"
        yield Problem(place, reason, f"Set OLLAMA_CONTEXT_LENGTH to '{pin}', or change PROBE_AGENT_MODEL.")


@rule("keep-alive")
def keep_alive(service: Service, _options: Options) -> Iterator[Problem]:
    """Neither Ollama's default nor the agent unloads an idle model: the next request would pay the load again."""
    fix = "Set it to '-1'."
    if service.ollama and "OLLAMA_KEEP_ALIVE" not in service.ollama.referred:
        value = service.ollama.env.get("OLLAMA_KEEP_ALIVE", "")
        if not value.startswith("-"):
            found = f"OLLAMA_KEEP_ALIVE is {value}" if value else "without OLLAMA_KEEP_ALIVE it is 5 minutes"
            reason = f"{found}: an idle model is unloaded, and the next request pays the load again"
            yield Problem(service.ollama.env_place("OLLAMA_KEEP_ALIVE"), reason, fix)
    if service.agent and service.settings and not service.settings.pinned_forever:
        reason = f"the agent keeps the model loaded for {service.settings.keep_alive} only"
        yield Problem(service.agent.env_place("PROBE_AGENT_KEEP_ALIVE"), reason, fix, Severity.WARNING)


@rule("kv-cache-type")
def kv_cache_type(service: Service, _options: Options) -> Iterator[Problem]:
    """The KV cache has a type that Ollama knows: with another one the runner ends before a model is loaded."""
    name = "OLLAMA_KV_CACHE_TYPE"
    value = service.ollama.env.get(name, "") if service.ollama else ""
    if service.ollama is None or not value or value.lower() in kv_cache.DOCUMENTED:
        return
    fix = f"Write one of: {', '.join(kv_cache.DOCUMENTED)}."
    if value.lower() in kv_cache.MORE:
        reason = f"Ollama does not document the type {value}, and the image is not built with it"
        yield Problem(service.ollama.env_place(name), reason, fix, Severity.WARNING)
    else:
        reason = f"there is no type {value}: Ollama's runner ends at start, and no model loads"
        yield Problem(service.ollama.env_place(name), reason, fix)


@rule("agent-device")
def agent_device(service: Service, _options: Options) -> Iterator[Problem]:
    """With a GPU, the agent insists on it: weights offloaded to the CPU are a fault, not a slow success."""
    if service.gpu and service.agent and service.settings and service.settings.device != "gpu":
        reason = "there is a GPU, but the agent accepts a model that is offloaded to the CPU"
        fix = "Set PROBE_AGENT_DEVICE to gpu."
        yield Problem(service.agent.env_place("PROBE_AGENT_DEVICE"), reason, fix, Severity.WARNING)


@rule("model-tag")
def model_tag(service: Service, _options: Options) -> Iterator[Problem]:
    """A model has a tag or a digest: `latest` may be another model tomorrow."""
    if service.agent is None or service.settings is None:
        return
    for pin in service.settings.models:
        if short_name(pin.name).endswith(":latest") and pin.digest is None:
            reason = f"{pin.name} means its tag latest, which may be another model tomorrow"
            fix = "Name a tag such as gemma3:4b-it-qat, or pin PROBE_AGENT_MODEL_DIGEST."
            yield Problem(service.agent.env_place("PROBE_AGENT_MODEL"), reason, fix, Severity.WARNING)
