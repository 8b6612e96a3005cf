"""From the file's service to what runs here, with every substitution noted for the operator."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ops.up import manifest, model_choice, ports, runtime
from ops.up.options import Options, ProbeKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ops.up.manifest import Container, Probe, Service
    from ops.up.runtime import Runtime

HOST_ONLY = re.compile(r"(OLLAMA|LLAMA|PROBE_AGENT|K)_.*|PORT")
"""Variables of the operator's own shell that no container may see: they would act like the file's."""
AGENT_PORT = 9090
"""The agent's default port, where its environment names none."""
OLLAMA_URL = "http://127.0.0.1:11434"
"""The agent's default for the server it watches."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """One thing that runs otherwise than the file says."""

    where: str
    setting: str
    in_file: str
    here: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will run: the service on this machine's ports, each container's recipe and environment."""

    service: Service
    runtimes: Mapping[str, Runtime]
    environments: Mapping[str, Mapping[str, str]]
    substitutions: tuple[Substitution, ...]
    upstream_url: str
    agent_url: str | None
    model: str | None


class _Rewrite:
    """One container's environment, being adapted; each change becomes a substitution."""

    def __init__(self, container: Container) -> None:
        self.where = container.name
        self.env = dict(container.env)
        self.changes: list[Substitution] = []

    def set(self, name: str, value: str, why: str, *, default: str = "(unset)") -> None:
        if self.env.get(name) != value:
            self.changes.append(Substitution(self.where, name, self.env.get(name, default), value, why))
            self.env[name] = value

    def drop(self, name: str, why: str) -> None:
        if name in self.env:
            self.changes.append(Substitution(self.where, name, self.env.pop(name), "(unset)", why))


def make_plan(service: Service, options: Options, environ: Mapping[str, str]) -> Plan:
    """Adapt a service to this machine.

    Raises:
        LaunchError: something that the service needs is not here.

    """
    if options.probe is ProbeKind.TCP:
        service = _with_tcp_probe(service)
    runtimes = {
        container.name: runtime.choose(container, commands=options.process, standin=options.standin)
        for container in service.containers
    }
    mapped = ports.assign(_ports(service), always_free=options.free_ports)
    choice = _model(service, runtimes, options, environ)
    rewrites = [_rewrite(container, mapped, choice, runtimes) for container in service.containers]
    local = tuple(_on_ports(container, mapped) for container in service.containers)
    base = {name: value for name, value in environ.items() if not HOST_ONLY.fullmatch(name)}
    agent = next((r for r in rewrites if "PROBE_AGENT_MODEL" in r.env), None)
    return Plan(
        service=replace(service, containers=local),
        runtimes=runtimes,
        environments={r.where: base | {"PYTHONUNBUFFERED": "1"} | r.env for r in rewrites},
        substitutions=(*_port_changes(mapped, options), *(change for r in rewrites for change in r.changes)),
        upstream_url=f"http://{ports.LOOPBACK}:{mapped[service.ingress.port or 0]}",
        agent_url=f"http://{ports.LOOPBACK}:{agent.env['PROBE_AGENT_PORT']}" if agent else None,
        model=choice.names[0] if choice else None,
    )


def _with_tcp_probe(service: Service) -> Service:
    probe = manifest.default_startup(service.ingress.port or 0)
    return replace(
        service,
        containers=tuple(
            replace(container, startup=probe if container.port else None, readiness=None)
            for container in service.containers
        ),
    )


def _model(
    service: Service, runtimes: Mapping[str, Runtime], options: Options, environ: Mapping[str, str]
) -> model_choice.ModelChoice | None:
    wanted = next(
        (c.env["PROBE_AGENT_MODEL"] for c in service.containers if "PROBE_AGENT_MODEL" in c.env),
        options.model,
    )
    if wanted is None:
        return None
    serving = next(
        (r for r in runtimes.values() if r.kind in (runtime.Kind.OLLAMA, runtime.Kind.STANDIN)),
        runtimes[service.ingress.name],
    )
    return model_choice.choose(wanted, asked=options.model, runtime=serving, environ=environ)


def _probes(container: Container) -> Iterator[Probe]:
    yield from (probe for probe in (container.startup, container.liveness, container.readiness) if probe)


def _ports(service: Service) -> Iterator[int]:
    """Every port that the file speaks of."""
    for container in service.containers:
        if container.port:
            yield container.port
        yield from (probe.action.port for probe in _probes(container))
        if "OLLAMA_HOST" in container.env:
            yield _port_of(container.env["OLLAMA_HOST"])
        if "PROBE_AGENT_MODEL" in container.env:
            yield int(container.env.get("PROBE_AGENT_PORT", AGENT_PORT))


def _on_ports(container: Container, mapped: Mapping[int, int]) -> Container:
    def local(probe: Probe | None) -> Probe | None:
        return probe and replace(probe, action=replace(probe.action, port=mapped[probe.action.port]))

    return replace(
        container,
        port=mapped[container.port] if container.port else None,
        startup=local(container.startup),
        liveness=local(container.liveness),
        readiness=local(container.readiness),
    )


def _port_changes(mapped: Mapping[int, int], options: Options) -> Iterator[Substitution]:
    why = "--free-ports" if options.free_ports else "taken on this machine"
    for port, here in mapped.items():
        if port != here:
            yield Substitution("instance", "port", str(port), str(here), why)


def _rewrite(
    container: Container,
    mapped: Mapping[int, int],
    choice: model_choice.ModelChoice | None,
    runtimes: Mapping[str, Runtime],
) -> _Rewrite:
    """Adapt one container's environment."""
    rewrite = _Rewrite(container)
    for mount in container.mounts:
        rewrite.changes.append(Substitution(container.name, "volume", mount, "(none)", "not mounted here"))
    if container.gpu and not runtime.has_gpu():
        rewrite.changes.append(
            Substitution(container.name, "nvidia.com/gpu", "yes", "none", "no GPU: the CPU computes")
        )
    if container.port:
        rewrite.env["PORT"] = str(mapped[container.port])  # the platform sets it, on the ingress alone
    if "OLLAMA_HOST" in container.env:
        _rewrite_server(rewrite, mapped, choice, runtimes[container.name])
    if "PROBE_AGENT_MODEL" in container.env:
        _rewrite_agent(rewrite, mapped, choice)
    return rewrite


def _rewrite_server(
    rewrite: _Rewrite, mapped: Mapping[int, int], choice: model_choice.ModelChoice | None, here: Runtime
) -> None:
    host = f"{ports.LOOPBACK}:{mapped[_port_of(rewrite.env['OLLAMA_HOST'])]}"
    rewrite.set("OLLAMA_HOST", host, "loopback only")
    if choice is None or here.kind not in (runtime.Kind.OLLAMA, runtime.Kind.STANDIN):
        return
    for name, value in choice.server_environ.items():
        why = "Ollama keeps its keys there" if name == "HOME" else "the model's place here"
        rewrite.set(name, value, why, default="(the image's)")
    if "OLLAMA_STANDIN_MODELS" in choice.server_environ:
        rewrite.drop("OLLAMA_MODELS", "the stand-in reads the model file itself")
    if choice.num_ctx and "OLLAMA_CONTEXT_LENGTH" in rewrite.env:
        rewrite.set("OLLAMA_CONTEXT_LENGTH", choice.num_ctx, "agrees with the model's pin")


def _rewrite_agent(rewrite: _Rewrite, mapped: Mapping[int, int], choice: model_choice.ModelChoice | None) -> None:
    port = int(rewrite.env.get("PROBE_AGENT_PORT", AGENT_PORT))
    rewrite.set("PROBE_AGENT_HOST", ports.LOOPBACK, "loopback only", default="0.0.0.0")  # noqa: S104 — the agent's default, shown
    rewrite.set("PROBE_AGENT_PORT", str(mapped[port]), "its port", default=str(AGENT_PORT))
    url = rewrite.env.get("PROBE_AGENT_OLLAMA_URL", OLLAMA_URL)
    server = _port_of(url)
    here = url.replace(f":{server}", f":{mapped.get(server, server)}")
    rewrite.set("PROBE_AGENT_OLLAMA_URL", here, "Ollama's port", default=OLLAMA_URL)
    if not runtime.has_gpu() and "PROBE_AGENT_DEVICE" in rewrite.env:
        rewrite.set("PROBE_AGENT_DEVICE", "any", "no GPU")
    if choice and choice.models != rewrite.env["PROBE_AGENT_MODEL"]:
        rewrite.set("PROBE_AGENT_MODEL", choice.models, choice.why)
        rewrite.drop("PROBE_AGENT_MODEL_DIGEST", "it is another model's")
    prompts = rewrite.env.get("PROBE_AGENT_WARMUP_PROMPTS")
    if prompts and not Path(prompts).is_file():
        rewrite.drop("PROBE_AGENT_WARMUP_PROMPTS", "a file of the image, not on this machine")


def _port_of(host: str) -> int:
    """Return the port at the end of HOST:PORT or of a URL; Ollama's own where there is none."""
    found = re.search(r":(\d{1,5})/?$", host)
    return int(found[1]) if found else 11434
