"""A service as the rules look at it. It never fails: what has the wrong type counts as not written.

The schema rule names wrong types, so that the others need not; each part knows its own place.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ops.images import base_name
from ops.lint.values import items, mapping, text, whole, written
from probe_agent.errors import SettingsError
from probe_agent.settings import Settings
from probe_agent.variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ops.lint.findings import Place

REVISION: Place = ("spec", "template", "spec")
REVISION_ANNOTATIONS: Place = ("spec", "template", "metadata", "annotations")
SERVICE_ANNOTATIONS: Place = ("metadata", "annotations")
SERVER_VARIABLE = re.compile("OLLAMA_(CONTEXT_LENGTH|FLASH_ATTENTION|HOST|KEEP_ALIVE|KV_CACHE_TYPE|MAX_[A-Z_]+|MODELS)")
"""What Ollama's server reads, and not the agent; a client reads OLLAMA_HOST at most."""
UNREADABLE = "cannot be read"
"""How the agent says that a variable's file is not there; from here a file of the image never is."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe with the platform's defaults, in seconds. `kind` is httpGet, tcpSocket, grpc or empty."""

    place: Place
    kind: str
    path: str
    port: int | None
    initial_delay: int
    period: int
    timeout: int
    threshold: int

    @property
    def budget(self) -> int:
        """Seconds until the platform gives up, without the initial delay."""
        return self.threshold * self.period

    @property
    def question(self) -> tuple[object, ...]:
        """What is asked and how often, without the place."""
        return (
            self.kind,
            self.path,
            self.port,
            self.initial_delay,
            self.period,
            self.timeout,
            self.threshold,
        )


@dataclass(frozen=True, slots=True)
class Container:
    """One container. `env` holds written values only; `referred` the names whose value comes from elsewhere."""

    place: Place
    raw: Mapping[str, Any]
    name: str
    image: str
    port: int | None
    has_ports: bool
    env: Mapping[str, str]
    env_places: Mapping[str, Place]
    referred: frozenset[str]
    limits: Mapping[str, Any]
    mounts: tuple[tuple[Place, str], ...]

    def probe(self, kind: str) -> Probe | None:
        """Return its startupProbe, livenessProbe or readinessProbe."""
        raw = self.raw.get(kind)
        return _probe(raw, (*self.place, kind), self.port) if isinstance(raw, dict) else None

    def env_place(self, name: str) -> Place:
        """Return where a variable is written; where it is missing, the container's list of variables."""
        return self.env_places.get(name, (*self.place, "env"))

    @property
    def like_agent(self) -> bool:
        """Whether it may be a probe-agent: it has the agent's variables or its image."""
        return any(name.startswith(PREFIX) for name in self.env_places) or self.has_agent_image

    @property
    def ollama_signs(self) -> tuple[bool, bool, bool]:
        """What speaks for Ollama, the surest first: its image, its name, its server's variables."""
        serves = any(SERVER_VARIABLE.fullmatch(name) for name in self.env_places)
        return "ollama" in base_name(self.image), self.name == "ollama", serves

    @property
    def has_agent_image(self) -> bool:
        """Whether its image is called probe-agent."""
        return base_name(self.image) == "probe-agent"


@dataclass(frozen=True)
class View:
    """A service. `agent`, `ollama` and `ingress` are None where the file has none or does not tell."""

    document: Mapping[str, Any]
    containers: tuple[Container, ...] = field(init=False)

    def __post_init__(self) -> None:
        raw = items(self.spec.get("containers"))
        parts = tuple(_container(mapping(each), (*REVISION, "containers", i)) for i, each in enumerate(raw))
        object.__setattr__(self, "containers", parts)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """The revision's spec."""
        return mapping(mapping(mapping(self.document.get("spec")).get("template")).get("spec"))

    @cached_property
    def annotations(self) -> dict[str, Any]:
        """The revision's annotations."""
        template = mapping(mapping(self.document.get("spec")).get("template"))
        return _annotations(template)

    @cached_property
    def service_annotations(self) -> dict[str, Any]:
        """The service's annotations."""
        return _annotations(self.document)

    @cached_property
    def ingress(self) -> Container | None:
        """The container with ports, when there is exactly one."""
        found = [container for container in self.containers if container.has_ports]
        return found[0] if len(found) == 1 else None

    @cached_property
    def agent(self) -> Container | None:
        """The probe-agent, when there is exactly one; a variable of it on Ollama makes that no second one."""
        found = [container for container in self.containers if container.like_agent]
        if len(found) > 1:
            found = [each for each in found if each.has_agent_image or not any(each.ollama_signs)]
        return found[0] if len(found) == 1 else None

    @cached_property
    def ollama(self) -> Container | None:
        """Ollama: the one container that has more or surer signs of it than every other."""
        found = [each for each in self.containers if any(each.ollama_signs) and not each.has_agent_image]
        found = [each for each in found if each is not self.agent and (self.agent or not each.like_agent)]
        best = max((each.ollama_signs for each in found), default=())
        found = [each for each in found if each.ollama_signs == best]
        return found[0] if len(found) == 1 else None

    @cached_property
    def gpu(self) -> bool:
        """Whether the revision asks for a GPU, in either of the two ways."""
        selector = mapping(self.spec.get("nodeSelector"))
        wanted = any("nvidia.com/gpu" in container.limits for container in self.containers)
        return wanted or "run.googleapis.com/accelerator" in selector

    @cached_property
    def settings(self) -> Settings | None:
        """The agent's settings, but for files of the image, which cannot be read from here."""
        if self.agent is None:
            return None
        env = dict(self.agent.env)
        for problem in self.settings_problems:
            if UNREADABLE in problem:
                env.pop(variable_of(problem), None)
        try:
            return Settings.from_environ(env)
        except SettingsError:
            return None

    @cached_property
    def settings_problems(self) -> tuple[str, ...]:
        """Why the agent would not start, as it says itself, a line for each variable."""
        try:
            Settings.from_environ(self.agent.env if self.agent else {"PROBE_AGENT_MODEL": "none"})
        except SettingsError as error:
            return error.problems
        return ()


def variable_of(problem: str) -> str:
    """Return the variable that a line of `SettingsError` begins with."""
    return problem.partition("=")[0].partition(":")[0].strip()


def _annotations(resource: Mapping[str, Any]) -> dict[str, Any]:
    found = mapping(mapping(resource.get("metadata")).get("annotations"))
    return {name: written(value) or value for name, value in found.items()}


def _container(raw: dict[str, Any], place: Place) -> Container:
    ports = items(raw.get("ports"))
    env: dict[str, str] = {}
    places: dict[str, Place] = {}
    referred = set()
    for index, item in enumerate(items(raw.get("env"))):
        name = text(mapping(item).get("name"))
        places[name] = (*place, "env", index)
        if "valueFrom" in mapping(item):
            referred.add(name)
        else:
            env[name] = written(mapping(item).get("value"))
    mounts = enumerate(items(raw.get("volumeMounts")))
    return Container(
        place=place,
        raw=raw,
        name=text(raw.get("name")),
        image=text(raw.get("image")),
        port=whole(mapping(ports[0]).get("containerPort")) if ports else None,
        has_ports=bool(ports),
        env=env,
        env_places=places,
        referred=frozenset(referred),
        limits=mapping(mapping(raw.get("resources")).get("limits")),
        mounts=tuple(((*place, "volumeMounts", i), text(mapping(each).get("name"))) for i, each in mounts),
    )


def _probe(raw: dict[str, Any], place: Place, port: int | None) -> Probe:
    kind = next((each for each in ("httpGet", "tcpSocket", "grpc") if each in raw), "")
    action = mapping(raw.get(kind))

    def number(name: str, default: int) -> int:
        found = whole(raw.get(name))
        return default if found is None else found

    return Probe(
        place=place,
        kind=kind,
        path=text(action.get("path")) or ("/" if kind == "httpGet" else ""),
        port=whole(action.get("port")) or port,
        initial_delay=number("initialDelaySeconds", 0),
        period=number("periodSeconds", 10),
        timeout=number("timeoutSeconds", 1),
        threshold=number("failureThreshold", 3),
    )
