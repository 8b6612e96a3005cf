"""A service's YAML: what a plan takes from it, and the plan's settings put into it, with every comment kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ruamel.yaml.scalarstring import SingleQuotedScalarString

from ops import yaml_edit
from ops.cloudrun.limits import gib
from ops.plan.errors import PlanRefused
from ops.plan.gpus import CPU
from ops.plan.settings import AGENT, ANNOTATIONS, BOTH_PROBES, CONTEXT, DEVICE, MODELS, OLLAMA, REVISION, Setting
from ops.service import model
from ops.service.containers import Container
from ops.service.model import REVISION as PLACE
from ops.service.model import REVISION_ANNOTATIONS
from ops.service.values import mapping
from ops.yaml_edit import Place
from probe_agent.ollama.types import ModelSpec

ACCELERATOR = "run.googleapis.com/accelerator"
# The context behind a model's name in PROBE_AGENT_MODEL.
PINNED = re.compile(r"@[0-9]+(?=,|$|\s)")


@dataclass(frozen=True, slots=True)
class Given:
    """What the file says already."""

    vcpu: float
    gib: float
    # Of Ollama's container; None where the file has no such limit.
    container_gib: float | None
    # A limit or a node selector asks for one.
    has_gpu: bool
    has_gpu_limit: bool
    # Values by the setting's name (`ops.plan.settings`), as text; missing or empty where the file has none.
    written: Mapping[str, str]


class Service:
    """A service's text; NotYaml where it is none, PlanRefused where it has no Ollama or no agent."""

    def __init__(self, text: str) -> None:
        self._text, self._document = text, yaml_edit.load(text)
        view = model.read(mapping(self._document))
        if view.ollama is None or view.agent is None:
            raise PlanRefused(
                "it is no service with one container for Ollama and one for the probe-agent; start from service.yaml"
            )
        self._view, self._ollama, self._agent = view, view.ollama, view.agent
        self._scalars: dict[Place, str | int] = {}
        self._has_new = False

    @property
    def given(self) -> Given:
        """What the file says already."""
        cpu, memory = self._view.size
        has_limit = any("nvidia.com/gpu" in each.limits for each in self._view.containers)
        return Given(
            vcpu=cpu,
            gib=memory,
            container_gib=gib(self._ollama.limits.get("memory")),
            has_gpu=self._view.gpu,
            has_gpu_limit=has_limit,
            written=self._written(),
        )

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        """What the agent is to serve; empty where its settings cannot be read."""
        return self._view.settings.models if self._view.settings else ()

    def _written(self) -> dict[str, str]:
        found = {**self._view.annotations, **self._ollama.env}
        found[DEVICE] = self._view.accelerator or ("" if self._view.gpu else CPU)
        if self._view.settings:
            pins = self._view.settings.models
            found[MODELS] = str(len(pins))
            contexts = {pin.num_ctx for pin in pins}
            if CONTEXT not in found and len(contexts) == 1:
                found[CONTEXT] = str(contexts.pop() or "")
        return found

    def put(self, wanted: Iterable[Setting]) -> tuple[str, list[str]]:
        """Return the text with the values set, and a line for each that was another one before.

        Raises `PlanRefused`, and `yaml_edit.NotSettable`: a value is written so that it cannot be set.
        """
        changes = [line for each in wanted for line in self._put(each)]
        text = yaml_edit.dump(self._document, like=self._text) if self._has_new else self._text
        return yaml_edit.with_scalars(text, self._scalars), changes

    def _put(self, setting: Setting) -> Iterator[str]:
        containers = {OLLAMA: [self._ollama], AGENT: [self._agent]}.get(setting.place, [self._ollama, self._agent])
        if setting.name == DEVICE:
            yield from self._set((*PLACE, DEVICE, ACCELERATOR), setting.value, REVISION)
        elif setting.place == REVISION:
            yield from self._set((*PLACE, setting.name), setting.value, REVISION)
        elif setting.place == ANNOTATIONS:
            yield from self._set((*REVISION_ANNOTATIONS, setting.name), setting.value, ANNOTATIONS)
        elif setting.place == BOTH_PROBES:
            for each in containers:
                if each.raw.get("startupProbe"):
                    place = (*each.place, "startupProbe", setting.name)
                    yield from self._set(place, setting.value, f"{each.name}: startupProbe")
        else:
            for each in containers:
                yield from self._set_variable(each, setting.name, str(setting.value))
            if setting.name == CONTEXT:
                yield from self._pin(str(setting.value))

    def _pin(self, context: str) -> Iterator[str]:
        """Put the context into the agent's variables too, where they name one: a pin that disagrees is repaired."""
        pinned = PINNED.sub(f"@{context}", self._agent.env.get("PROBE_AGENT_MODEL", ""))
        for name, value in (("PROBE_AGENT_MODEL", pinned), ("PROBE_AGENT_NUM_CTX", context)):
            if name in self._agent.env:
                yield from self._set_variable(self._agent, name, value)

    def _set(self, place: Place, value: str | int, where: str) -> Iterator[str]:
        into = self._document
        for step, following in pairwise(place):
            if isinstance(step, str) and into.get(step) is None:
                into[step] = {}
            into = into[step]
            if not isinstance(into, list if isinstance(following, int) else dict):
                raise PlanRefused(f"{where}: {step} is not of the type that a service has there; see ops lint")
        old = into.get(place[-1])
        if old is None:
            into[place[-1]] = _quoted(value)
            self._has_new = True
        elif str(old) != str(value):
            self._scalars[place] = value
        else:
            return
        yield f"{where}: {place[-1]}: {'unset' if old is None else old} -> {value}"

    def _set_variable(self, container: Container, name: str, value: str) -> Iterator[str]:
        where = f"container {container.name}"
        if name in container.referred:
            yield f"{where}: {name}: comes from elsewhere and is left as it is; it should be {value}"
        elif name in container.env_places:
            for line in self._set((*container.env_places[name], "value"), value, where):
                yield line.replace(": value: ", f": {name}: ", 1)
        else:
            raw: Any = container.raw
            if not raw.get("env"):
                raw["env"] = []
            if not isinstance(raw["env"], list):
                raise PlanRefused(f"{where}: env is no list; see ops lint")
            raw["env"].append({"name": name, "value": _quoted(value)})
            self._has_new = True
            yield f"{where}: {name}: unset -> {value}"


def _quoted(value: str | int) -> str | int:
    """Return text in quotes where YAML would read it as something else."""
    if isinstance(value, int):
        return value
    reads_otherwise = value.replace(".", "", 1).isdigit() or value in {"true", "false"}
    return SingleQuotedScalarString(value) if reads_otherwise else value
