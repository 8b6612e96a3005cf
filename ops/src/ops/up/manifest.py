"""service.yaml as frozen dataclasses: what the local platform needs to know of a service.

The names are the file's own. Whether the whole file is right is for the Admin API's schema to say
(tests/deploy); here only what is read is checked, and each complaint names its place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import yaml

from ops.cloudrun.limits import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_SECONDS
from ops.up import volumes
from ops.up.errors import ManifestError
from ops.up.yaml_node import Node

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ops.up.volumes import Mount, Volume

DEPENDENCIES_ANNOTATION = "run.googleapis.com/container-dependencies"


@dataclass(frozen=True, slots=True)
class HttpGet:
    """A probe that asks for a path; success is a status from 200 to 399."""

    path: str
    port: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """A probe that only opens a connection."""

    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe's question and its numbers, in seconds; defaults are the Admin API's."""

    action: HttpGet | TcpSocket
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3

    def __str__(self) -> str:
        """Name the question as a person would."""
        if isinstance(self.action, HttpGet):
            return f"GET :{self.action.port}{self.action.path}"
        return f"connect to :{self.action.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of the instance. `port` is set on the ingress container alone."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str]
    port: int | None = None
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None
    depends_on: tuple[str, ...] = ()
    gpu: bool = False
    mounts: tuple[Mount, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service of one or more containers, exactly one of them the ingress."""

    name: str
    containers: tuple[Container, ...]
    concurrency: int
    timeout_seconds: int

    @property
    def ingress(self) -> Container:
        """Return the container that requests go to."""
        return next(container for container in self.containers if container.port is not None)


def default_startup(port: int) -> Probe:
    """Return the probe that Cloud Run gives an ingress container without one: TCP, once, within 240 s."""
    return Probe(action=TcpSocket(port), period_seconds=240, timeout_seconds=240, failure_threshold=1)


def read_service(path: Path) -> Service:
    """Read a Knative v1 Service.

    Raises:
        ManifestError: the file is missing, is no YAML, or is not a service; the text says where and why.

    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        advice = "give the file: ops up FILE"
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except yaml.YAMLError as error:
        raise ManifestError(f"{path}: is no YAML: {error}") from error
    return _service(Node(document, str(path)))


def _service(top: Node) -> Service:
    if top["kind"].text("") != "Service":
        raise top["kind"].fail(f"expected 'Service', found {top['kind'].value!r}")
    template = top["spec"]["template"]
    dependencies = _dependencies(template["metadata"]["annotations"])
    spec = template["spec"]
    mountable = volumes.read_volumes(spec["volumes"])
    containers = tuple(_container(node, i, dependencies, mountable) for i, node in enumerate(spec["containers"]))
    if not containers:
        raise spec["containers"].fail("expected at least one container, found none")
    _check_names(spec["containers"], containers)
    _check_ports(spec["containers"], containers)
    probed = {c.name for c, node in zip(containers, spec["containers"], strict=True) if node["startupProbe"]}
    _check_dependencies(template["metadata"]["annotations"][DEPENDENCIES_ANNOTATION], dependencies, containers, probed)
    return Service(
        name=top["metadata"]["name"].text(),
        containers=containers,
        concurrency=spec["containerConcurrency"].number(DEFAULT_CONCURRENCY, low=0, high=1000) or DEFAULT_CONCURRENCY,
        timeout_seconds=spec["timeoutSeconds"].number(DEFAULT_TIMEOUT_SECONDS, low=1, high=3600),
    )


def _container(
    node: Node, index: int, dependencies: Mapping[str, tuple[str, ...]], mountable: Mapping[str, Volume]
) -> Container:
    name = node["name"].text(f"container-{index + 1}")
    ports = [port["containerPort"].number(None, low=1, high=65535) for port in node["ports"]]
    port = ports[0] if ports else None
    return Container(
        name=name,
        image=node["image"].text(),
        command=tuple(item.text() for item in node["command"]),
        args=tuple(item.text("") for item in node["args"]),
        env={item["name"].text(): _value(item) for item in node["env"]},
        port=port,
        startup=_probe(node["startupProbe"], port) or (default_startup(port) if port else None),
        liveness=_probe(node["livenessProbe"], port),
        readiness=_probe(node["readinessProbe"], port),
        depends_on=dependencies.get(name, ()),
        gpu=bool(node["resources"]["limits"]["nvidia.com/gpu"]),
        mounts=volumes.read_mounts(node["volumeMounts"], mountable),
    )


def _value(item: Node) -> str:
    if item["valueFrom"]:
        raise item.fail("valueFrom cannot be resolved on this machine; run a copy of the file with a plain value")
    return item["value"].text("")


def _probe(node: Node, container_port: int | None) -> Probe | None:
    if not node:
        return None
    if node["httpGet"]:
        get = node["httpGet"]
        headers = tuple((h["name"].text(), h["value"].text("")) for h in get["httpHeaders"])
        action: HttpGet | TcpSocket = HttpGet(_path(get["path"]), _port(get, container_port), headers)
    elif node["tcpSocket"]:
        action = TcpSocket(_port(node["tcpSocket"], container_port))
    else:
        raise node.fail("expected httpGet or tcpSocket; other kinds of probe are not run on this machine")
    return Probe(
        action=action,
        initial_delay_seconds=node["initialDelaySeconds"].number(0, low=0, high=3600),
        period_seconds=node["periodSeconds"].number(10, low=1, high=3600),
        timeout_seconds=node["timeoutSeconds"].number(1, low=1, high=3600),
        failure_threshold=node["failureThreshold"].number(3, low=1, high=3600),
    )


def _path(node: Node) -> str:
    if not (path := node.text("/")).startswith("/"):
        raise node.fail(f"expected a path that begins with '/', found {path!r}")
    return path


def _port(node: Node, container_port: int | None) -> int:
    return node["port"].number(container_port, low=1, high=65535)


def _dependencies(annotations: Node) -> dict[str, tuple[str, ...]]:
    text = annotations.texts().get(DEPENDENCIES_ANNOTATION, "{}")
    try:
        parsed: dict[str, list[str]] = json.loads(text)
        return {name: tuple(needs) for name, needs in parsed.items()}
    except (ValueError, AttributeError, TypeError) as error:
        place = annotations[DEPENDENCIES_ANNOTATION]
        raise place.fail(f'expected JSON such as {{"b": ["a"]}}, found {text!r}') from error


def _check_names(place: Node, containers: tuple[Container, ...]) -> None:
    names = [container.name for container in containers]
    for name in names:
        if names.count(name) > 1:
            raise place.fail(f"expected names that differ, found {name!r} twice")


def _check_ports(place: Node, containers: tuple[Container, ...]) -> None:
    ingress = [container.name for container in containers if container.port is not None]
    if len(ingress) != 1:
        found = f"{len(ingress)}: {', '.join(ingress)}" if ingress else "none"
        raise place.fail(f"expected exactly one container with `ports` (the ingress), found {found}")


def _check_dependencies(
    place: Node, dependencies: Mapping[str, tuple[str, ...]], containers: tuple[Container, ...], probed: set[str]
) -> None:
    names = {container.name for container in containers}
    needed = [need for needs in dependencies.values() for need in needs]
    for name in [*dependencies, *needed]:
        if name not in names:
            raise place.fail(f"no container is called {name!r}; there are {', '.join(sorted(names))}")
    for name in needed:
        if name not in probed:
            raise place.fail(f"{name!r} is waited for, so it must have a startupProbe of its own: give it one")
    try:
        TopologicalSorter(dependencies).prepare()
    except CycleError as error:
        raise place.fail(f"the containers wait for each other: {' -> '.join(error.args[1])}") from error
