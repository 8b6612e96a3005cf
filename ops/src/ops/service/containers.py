"""Containers with their probes and mounts, read leniently: what has the wrong type counts as not written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.images import base_name
from ops.service.problem import Place
from ops.service.values import items, mapping, text, whole, written
from probe_agent.variables import PREFIX

STARTUP, LIVENESS, READINESS = "startupProbe", "livenessProbe", "readinessProbe"
PROBE_FIELDS = (STARTUP, LIVENESS, READINESS)
HTTP_GET, TCP_SOCKET, GRPC = ACTIONS = ("httpGet", "tcpSocket", "grpc")
# Variables that Ollama's server reads, and the agent does not; a client reads OLLAMA_HOST at most.
SERVER_VARIABLES = ("CONTEXT_LENGTH", "FLASH_ATTENTION", "HOST", "KEEP_ALIVE", "KV_CACHE_TYPE", "MAX_", "MODELS")


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with the platform's defaults, in seconds. `kind` is httpGet, tcpSocket, grpc or empty."""

    place: Place = ()
    kind: str = ""
    path: str = ""
    port: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3

    def __str__(self) -> str:
        """Name the probe's request for people."""
        return f"GET :{self.port}{self.path}" if self.kind == HTTP_GET else f"connect to :{self.port}"

    @property
    def budget_seconds(self) -> int:
        """Seconds until the platform gives up, without the initial delay."""
        return self.failure_threshold * self.period_seconds

    @property
    def fields(self) -> dict[str, object]:
        """What the probe asks and how often, by the file's names and without the place."""
        return {
            "kind": self.kind,
            "path": self.path,
            "port": self.port,
            "initialDelaySeconds": self.initial_delay_seconds,
            "periodSeconds": self.period_seconds,
            "timeoutSeconds": self.timeout_seconds,
            "failureThreshold": self.failure_threshold,
        }


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a container has a volume. `path` has no slash at its end."""

    place: Place
    volume: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container. `env` holds written values only; `referred` the names whose value comes from elsewhere."""

    place: Place
    raw: Mapping[str, Any]
    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    port: int | None
    has_ports: bool
    env: Mapping[str, str]
    env_places: Mapping[str, Place]
    referred: frozenset[str]
    limits: Mapping[str, Any]
    mounts: tuple[Mount, ...]
    startup: Probe | None
    liveness: Probe | None
    readiness: Probe | None
    depends_on: tuple[str, ...]

    @property
    def probes(self) -> dict[str, Probe]:
        """Its probes by their field in the file."""
        found = zip(PROBE_FIELDS, (self.startup, self.liveness, self.readiness), strict=True)
        return {field: probe for field, probe in found if probe}

    @property
    def gpu(self) -> bool:
        """Whether its limits ask for a GPU."""
        return "nvidia.com/gpu" in self.limits

    def env_place(self, name: str) -> Place:
        """Return where a variable is written; for a missing one, the container's list of variables."""
        return self.env_places.get(name, (*self.place, "env"))

    def limit_place(self, name: str) -> Place:
        """Return where a resource limit is written."""
        return (*self.place, "resources", "limits", name)

    @property
    def like_agent(self) -> bool:
        """Whether it may be a probe-agent: it has the agent's variables or its image."""
        return any(name.startswith(PREFIX) for name in self.env_places) or self.has_agent_image

    @property
    def has_agent_image(self) -> bool:
        """Whether its image is called probe-agent."""
        return base_name(self.image) == "probe-agent"

    @property
    def ollama_signs(self) -> tuple[bool, bool, bool]:
        """The signs of an Ollama, the surest first: its image, its name, its server's variables."""
        names = [name.removeprefix("OLLAMA_") for name in self.env_places if name.startswith("OLLAMA_")]
        return (
            "ollama" in base_name(self.image),
            self.name == "ollama",
            any(name.startswith(SERVER_VARIABLES) for name in names),
        )


def read_container(raw: dict[str, Any], place: Place, needs: Mapping[str, list[str]]) -> Container:
    """Read one container; `needs` are the service's container-dependencies."""
    ports = items(raw.get("ports"))
    port = whole(mapping(ports[0]).get("containerPort", 8080)) if ports else None
    name = text(raw.get("name"))
    env = list(enumerate(items(raw.get("env"))))
    return Container(
        place=place,
        raw=raw,
        name=name,
        image=text(raw.get("image")),
        command=tuple(map(text, items(raw.get("command")))),
        args=tuple(map(text, items(raw.get("args")))),
        port=port,
        has_ports=bool(ports),
        env={text(each.get("name")): written(each.get("value")) for _, each in _mappings(env) if not _refers(each)},
        env_places={text(each.get("name")): (*place, "env", index) for index, each in _mappings(env)},
        referred=frozenset(text(each.get("name")) for _, each in _mappings(env) if _refers(each)),
        limits=mapping(mapping(raw.get("resources")).get("limits")),
        mounts=tuple(_mounts(raw, place)),
        startup=_probe(raw, STARTUP, place, port),
        liveness=_probe(raw, LIVENESS, place, port),
        readiness=_probe(raw, READINESS, place, port),
        depends_on=tuple(needs.get(name, ())),
    )


def _mappings(found: list[tuple[int, Any]]) -> list[tuple[int, dict[Any, Any]]]:
    return [(index, mapping(each)) for index, each in found]


def _refers(variable: dict[Any, Any]) -> bool:
    return "valueFrom" in variable


def _mounts(raw: dict[str, Any], place: Place) -> list[Mount]:
    found = [mapping(each) for each in items(raw.get("volumeMounts"))]
    return [
        Mount((*place, "volumeMounts", index), text(each.get("name")), text(each.get("mountPath")).rstrip("/"))
        for index, each in enumerate(found)
    ]


def _probe(container: dict[str, Any], field: str, place: Place, port: int | None) -> Probe | None:
    raw = container.get(field)
    if not isinstance(raw, dict):
        return None
    kind = next((each for each in ACTIONS if each in raw), "")
    action = mapping(raw.get(kind))
    headers = [mapping(each) for each in items(action.get("httpHeaders"))]

    def number(name: str, default: int) -> int:
        found = whole(raw.get(name))
        return default if found is None else found

    return Probe(
        place=(*place, field),
        kind=kind,
        path=text(action.get("path")) or ("/" if kind == HTTP_GET else ""),
        port=whole(action.get("port")) or port,
        headers=tuple((text(each.get("name")), text(each.get("value"))) for each in headers),
        initial_delay_seconds=number("initialDelaySeconds", 0),
        period_seconds=number("periodSeconds", 10),
        timeout_seconds=number("timeoutSeconds", 1),
        failure_threshold=number("failureThreshold", 3),
    )
