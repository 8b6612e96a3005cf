"""From the file's service to what runs here, with every substitution noted for the operator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ops.service.containers import Container, Probe
from ops.service.model import Service
from ops.up import environment, image, manifest, model_choice, ports, runtime, volumes
from ops.up.environment import Machine, Substitution
from ops.up.errors import LaunchError
from ops.up.model_choice import ModelChoice
from ops.up.options import Options, ProbeKind
from ops.up.runtime import Kind, Runtime
from ops.up.volumes import Folder
from probe_agent.variables import ModelSource

# Variables of the operator's own shell that no container may see: they would act like the file's.
HOST_ONLY = re.compile(r"(OLLAMA|LLAMA|PROBE_AGENT|K)_.*|PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will run: the service on this machine's ports, each container's recipe and environment, volumes' folders."""

    service: Service
    runtimes: Mapping[str, Runtime]
    environments: Mapping[str, Mapping[str, str]]
    substitutions: tuple[Substitution, ...]
    folders: tuple[Folder, ...]
    upstream_url: str
    agent_url: str | None
    model: str | None


def make_plan(service: Service, options: Options, environ: Mapping[str, str]) -> Plan:
    """Adapt a service to this machine.

    Raises:
        LaunchError: something that the service needs is not here.
        ManifestError: a port in a container's environment is none, or a volume cannot be had here.

    """
    probed = _with_tcp_probe(service) if options.probe is ProbeKind.TCP else service
    runtimes = _runtimes(probed, options, environ)
    mapped = ports.assign(_ports(probed), always_free=options.free_ports, front=options.port)
    mounted = {mount.volume for container in probed.containers for mount in container.mounts}
    folders = volumes.folders([each for each in probed.volumes if each.name in mounted], options.volumes)
    machine = _machine(probed, runtimes, mapped, folders, options, environ)
    adapted = [environment.adapt(container, machine, runtimes[container.name]) for container in probed.containers]
    base = {name: value for name, value in environ.items() if not HOST_ONLY.fullmatch(name)}
    agent = next((container for container in probed.containers if runtime.is_agent(container)), None)
    changes = [*_port_changes(mapped, options), *_probe_changes(service, probed)]
    return Plan(
        service=replace(probed, containers=tuple(_on_ports(container, mapped) for container in probed.containers)),
        runtimes=runtimes,
        environments={each.where: base | {"PYTHONUNBUFFERED": "1"} | each.env for each in adapted},
        substitutions=(*changes, *(change for each in adapted for change in each.changes)),
        folders=tuple(folders.values()),
        upstream_url=f"http://{ports.LOOPBACK}:{mapped[probed.ingress.port or 0]}",
        agent_url=f"http://{ports.LOOPBACK}:{mapped[environment.agent_port(agent)]}" if agent else None,
        model=machine.choice.names[0] if machine.choice else None,
    )


def _runtimes(service: Service, options: Options, environ: Mapping[str, str]) -> dict[str, Runtime]:
    names = [container.name for container in service.containers]
    for name in options.process:
        if name not in names:
            raise LaunchError(f"--process {name}=…: no container is called {name!r}; there are {', '.join(names)}")
    return {container.name: _runtime(container, options, environ) for container in service.containers}


def _runtime(container: Container, options: Options, environ: Mapping[str, str]) -> Runtime:
    if options.image_root and runtime.is_ollama(container) and container.name not in options.process:
        return image.recipe(options.image_root)
    return runtime.choose(container, commands=options.process, standin=options.standin, environ=environ)


def _with_tcp_probe(service: Service) -> Service:
    probe = manifest.default_startup(service.ingress.port or 0)
    return replace(
        service,
        containers=tuple(
            replace(container, startup=probe if container.port else None, readiness=None)
            for container in service.containers
        ),
    )


def _machine(
    service: Service,
    runtimes: Mapping[str, Runtime],
    mapped: Mapping[int, int],
    folders: Mapping[str, Folder],
    options: Options,
    environ: Mapping[str, str],
) -> Machine:
    server = next((c for c in service.containers if runtime.is_ollama(c)), service.ingress)
    here = runtimes[server.name]
    wanted, num_ctx = _file_model(service, server)
    choice = None
    if options.image_root and here.kind is Kind.IMAGE:
        choice = image.choice(options.image_root, wanted, asked=options.model, environ=environ)
    elif model := wanted or options.model:
        choice = _on_volume(service, server, here, folders, model, options, num_ctx)
        choice = choice or model_choice.choose(
            model, asked=options.model, runtime=here, environ=environ, num_ctx=num_ctx
        )
    gpu = runtime.has_gpu() and here.kind is not Kind.STANDIN
    return Machine(mapped=mapped, folders=folders, choice=choice, file_num_ctx=num_ctx, gpu=gpu)


def _on_volume(
    service: Service,
    server: Container,
    here: Runtime,
    folders: Mapping[str, Folder],
    model: str,
    options: Options,
    num_ctx: str | None,
) -> ModelChoice | None:
    """Choose from the store on a volume that the operator has named, or that a source fills; None: there is none."""
    store = server.env.get("OLLAMA_MODELS", "")
    mount = volumes.mount_of(store, server.mounts)
    source = _agent_env(service).get("PROBE_AGENT_MODEL_SOURCE", "").lower()
    is_filled = source in (ModelSource.GCS, ModelSource.PULL)
    if mount is None or here.kind not in (Kind.OLLAMA, Kind.STANDIN):
        return None
    if folders[mount.volume].is_new and not is_filled:  # it holds nothing, and nothing will be put there
        return None
    return model_choice.on_volume(
        model,
        asked=options.model,
        volume=mount.volume,
        store=Path(volumes.here(store, server.mounts, folders)),
        is_filled=is_filled,
        num_ctx=num_ctx,
    )


def _agent_env(service: Service) -> Mapping[str, str]:
    return next((c.env for c in service.containers if runtime.is_agent(c)), {})


def _file_model(service: Service, server: Container) -> tuple[str | None, str | None]:
    """Return the file's models, and its pin: the first model's, else the agent's default, else the server's."""
    env = _agent_env(service)
    models = env.get("PROBE_AGENT_MODEL")
    pin = model_choice.ModelChoice(models).num_ctx if models else None
    return models, pin or env.get("PROBE_AGENT_NUM_CTX") or server.env.get("OLLAMA_CONTEXT_LENGTH")


def _probes(container: Container) -> Iterator[Probe]:
    yield from (probe for probe in (container.startup, container.liveness, container.readiness) if probe)


def _ports(service: Service) -> Iterator[int]:
    """Every port that the file speaks of."""
    for container in service.containers:
        if container.port:
            yield container.port
        yield from (probe.port for probe in _probes(container) if probe.port)
        if runtime.is_ollama(container):
            yield environment.server_port(container)
        if runtime.is_agent(container):
            yield environment.agent_port(container)


def _on_ports(container: Container, mapped: Mapping[int, int]) -> Container:
    def local(probe: Probe | None) -> Probe | None:
        return probe and replace(probe, port=mapped[probe.port] if probe.port else None)

    return replace(
        container,
        port=mapped[container.port] if container.port else None,
        startup=local(container.startup),
        liveness=local(container.liveness),
        readiness=local(container.readiness),
    )


def _port_changes(mapped: Mapping[int, int], options: Options) -> Iterator[Substitution]:
    for port, here in mapped.items():
        if port != here:
            taken = "the ingress front has it (--port)" if port == options.port else "taken on this machine"
            why = "--free-ports" if options.free_ports else taken
            yield Substitution("instance", "port", str(port), str(here), why)


def _probe_changes(service: Service, here: Service) -> Iterator[Substitution]:
    """Tell which probes of the file are not asked."""
    for before, after in zip(service.containers, here.containers, strict=True):
        for name, old, new in (
            ("startupProbe", before.startup, after.startup),
            ("readinessProbe", before.readiness, after.readiness),
        ):
            if old != new:
                yield Substitution(before.name, name, str(old), str(new or "(none)"), "--probe tcp")
