"""The model of a service.yaml, read leniently: what has the wrong type counts as not written, and nothing raises.

`ops.service.schema` and `ops.service.structure` find what is wrong; `ops.service.strict` refuses a file with errors.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ops.cloudrun.limits import (
    ACCELERATOR,
    DEFAULT_CONCURRENCY,
    DEFAULT_CPU,
    DEFAULT_MEMORY,
    DEFAULT_TIMEOUT_SECONDS,
    cpus,
    gib,
)
from ops.service import document
from ops.service.containers import Container, read_container
from ops.service.problem import Place
from ops.service.values import items, mapping, text, whole, written
from probe_agent.errors import SettingsError
from probe_agent.ollama import host
from probe_agent.settings import Settings

REVISION: Place = ("spec", "template", "spec")
CONTAINERS: Place = (*REVISION, "containers")
VOLUMES: Place = (*REVISION, "volumes")
REVISION_ANNOTATIONS: Place = ("spec", "template", "metadata", "annotations")
SERVICE_ANNOTATIONS: Place = ("metadata", "annotations")
DEPENDENCIES = "run.googleapis.com/container-dependencies"
# How the agent says that a variable names a file that is not there. A file of the image never is there for us.
UNREADABLE = "cannot be read"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the revision; `kind` is the field that says what it is, such as emptyDir, or empty."""

    place: Place
    name: str
    kind: str
    source: Mapping[str, Any]


@dataclass(frozen=True)
class Service:
    """A service of one or more containers. `agent`, `ollama` and `sole_ingress` are None where the file has no such."""

    raw: Mapping[str, Any]
    name: str
    containers: tuple[Container, ...]
    volumes: tuple[Volume, ...]
    concurrency: int
    timeout_seconds: int

    @property
    def spec(self) -> dict[str, Any]:
        """The revision's spec."""
        return mapping(_template(self.raw).get("spec"))

    @cached_property
    def annotations(self) -> dict[str, Any]:
        """The revision's annotations."""
        return _annotations(_template(self.raw))

    @cached_property
    def service_annotations(self) -> dict[str, Any]:
        """The service's annotations."""
        return _annotations(self.raw)

    @property
    def dependencies(self) -> dict[str, list[str]] | None:
        """Which containers each container waits for; None when the annotation's text is not of that form."""
        return _dependencies(self.annotations)

    @property
    def sole_ingress(self) -> Container | None:
        """The container with ports, when there is exactly one."""
        found = [container for container in self.containers if container.has_ports]
        return found[0] if len(found) == 1 else None

    @property
    def ingress(self) -> Container:
        """The container that requests go to; a service that was read strictly has one."""
        return next(container for container in self.containers if container.has_ports)

    @cached_property
    def agent(self) -> Container | None:
        """The probe-agent, when there is exactly one; one of its variables on Ollama does not make a second one."""
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

    @property
    def ollama_port(self) -> int | None:
        """The port that Ollama listens on; None without an Ollama, or where the file only refers to OLLAMA_HOST."""
        if self.ollama is None or "OLLAMA_HOST" in self.ollama.referred:
            return None
        return host.parse(self.ollama.env.get("OLLAMA_HOST", "")).port

    @property
    def agent_port(self) -> int | None:
        """The port that the agent listens on; None without an agent or a readable port."""
        if self.agent is None:
            return None
        port = self.agent.env.get("PROBE_AGENT_PORT", "") or "9090"
        return int(port) if port.isdecimal() and "PROBE_AGENT_PORT" not in self.agent.referred else None

    @property
    def accelerator(self) -> str:
        """The GPU that the node selector names, or an empty text."""
        return text(mapping(self.spec.get("nodeSelector")).get(ACCELERATOR))

    @property
    def gpu(self) -> bool:
        """Whether the revision asks for a GPU, by a limit or by the node selector."""
        return any(each.gpu for each in self.containers) or ACCELERATOR in mapping(self.spec.get("nodeSelector"))

    @property
    def size(self) -> tuple[float, float]:
        """CPU and GiB of all containers together."""
        cpu = math.fsum(cpus(each.limits.get("cpu", DEFAULT_CPU)) or 0 for each in self.containers)
        return cpu, math.fsum(gib(each.limits.get("memory", DEFAULT_MEMORY)) or 0 for each in self.containers)

    @cached_property
    def settings(self) -> Settings | None:
        """The agent's settings, without files of the image, which cannot be read from here."""
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
        """Why the agent would not start, in its own words, one line for each variable."""
        try:
            Settings.from_environ(self.agent.env if self.agent else {"PROBE_AGENT_MODEL": "none"})
        except SettingsError as error:
            return error.problems
        return ()


def read(raw: Mapping[str, Any]) -> Service:
    """Return the model of a document's value."""
    spec = mapping(_template(raw).get("spec"))
    needs = _dependencies(_annotations(_template(raw))) or {}
    containers = [mapping(each) for each in items(spec.get("containers"))]
    return Service(
        raw=raw,
        name=text(mapping(raw.get("metadata")).get("name")),
        containers=tuple(read_container(each, (*CONTAINERS, index), needs) for index, each in enumerate(containers)),
        volumes=tuple(_volume(mapping(each), index) for index, each in enumerate(items(spec.get("volumes")))),
        concurrency=whole(spec.get("containerConcurrency")) or DEFAULT_CONCURRENCY,
        timeout_seconds=whole(spec.get("timeoutSeconds")) or DEFAULT_TIMEOUT_SECONDS,
    )


def variable_of(problem: str) -> str:
    """Return the variable that a line of `SettingsError` begins with."""
    return problem.partition("=")[0].partition(":")[0].strip()


def _template(raw: Mapping[str, Any]) -> dict[str, Any]:
    return mapping(mapping(raw.get("spec")).get("template"))


def _annotations(resource: Mapping[str, Any]) -> dict[str, Any]:
    found = mapping(mapping(resource.get("metadata")).get("annotations"))
    return {str(name): written(value) or value for name, value in found.items()}


def _dependencies(annotations: Mapping[str, Any]) -> dict[str, list[str]] | None:
    """Read the annotation as the platform does: as YAML, which JSON is a part of."""
    try:
        parsed = document.read(text(annotations.get(DEPENDENCIES, "{}"))).value
    except document.Unreadable:
        return None
    right = isinstance(parsed, dict) and all(
        isinstance(needs, list) and all(isinstance(need, str) for need in needs) for needs in parsed.values()
    )
    return {str(name): needs for name, needs in parsed.items()} if right else None


def _volume(raw: dict[str, Any], index: int) -> Volume:
    kind = next((str(name) for name in raw if name != "name"), "")
    return Volume((*VOLUMES, index), text(raw.get("name")), kind, mapping(raw.get(kind)))
