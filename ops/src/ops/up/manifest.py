"""The service.yaml that is to run here: what the platform takes, less what this machine cannot do."""

from dataclasses import replace
from pathlib import Path

from ops.service import strict
from ops.service.containers import GRPC, TCP_SOCKET, Container, Probe
from ops.service.model import Service
from ops.service.problem import Place, path_text
from ops.service.strict import ServiceError
from ops.up.errors import ManifestError


def read_service(file: Path) -> Service:
    """Read a service with the platform's defaults filled in.

    Raises:
        ManifestError: the file cannot be read, the platform would refuse it, or this machine cannot do what it says.

    """
    try:
        service = strict.read_service(file)
    except ServiceError as error:
        raise ManifestError(str(error)) from error
    for container in service.containers:
        for name in sorted(container.referred):
            why = "valueFrom cannot be resolved on this machine; run a copy of the file with a plain value"
            raise ManifestError(f"{file}: {path_text(container.env_place(name))}: {why}")
        for probe in container.probes.values():
            if probe.kind == GRPC:
                raise ManifestError(f"{file}: {path_text(probe.place)}: grpc probes are not run on this machine")
    return replace(service, containers=tuple(map(_complete, service.containers, range(len(service.containers)))))


def default_startup(port: int, place: Place = ()) -> Probe:
    """Return the probe that Cloud Run gives an ingress container without one: TCP, once, within 240 s."""
    return Probe(place, TCP_SOCKET, port=port, period_seconds=240, timeout_seconds=240, failure_threshold=1)


def _complete(container: Container, index: int) -> Container:
    startup = container.startup or (default_startup(container.port, container.place) if container.port else None)
    return replace(container, name=container.name or f"container-{index + 1}", startup=startup)
