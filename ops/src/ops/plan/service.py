"""A service's YAML: what a plan takes from it, and the plan's settings put into it, with every comment kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml.scalarstring import ScalarString, SingleQuotedScalarString

from ops.lint.rules.resources import gib, sizes
from ops.lint.values import items, mapping, whole
from ops.lint.view import View
from ops.plan.errors import PlanRefused
from ops.plan.settings import AGENT, ANNOTATIONS, BOTH_PROBES, OLLAMA, REVISION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ops.lint.view import Container
    from ops.plan.settings import Setting

ACCELERATOR = "run.googleapis.com/accelerator"
PINNED = re.compile(r"@[0-9]+(?=,|$|\s)")
"""The context behind a model's name in PROBE_AGENT_MODEL."""
ON = frozenset({"1", "true", "on", "enabled"})
"""How llama.cpp's variables are switched on."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the file says already; None where it does not."""

    vcpu: float
    gib: float
    container_gib: float | None
    prompt_cache_mib: int | None
    has_full_windows: bool
    has_gpu: bool


class Service:
    """A service that was read by `ops.yaml_edit`; PlanRefused where it has no Ollama or no agent."""

    def __init__(self, document: Any) -> None:
        view = View(mapping(document))
        if view.ollama is None or view.agent is None:
            raise PlanRefused(
                "it is no service with one container for Ollama and one for the probe-agent; start from service.yaml"
            )
        self._view, self._ollama, self._agent = view, view.ollama, view.agent
        self._document = document

    @property
    def given(self) -> Given:
        """What the file says already."""
        cpu, memory = sizes(self._view)
        env = self._ollama.env
        return Given(
            vcpu=cpu,
            gib=memory,
            container_gib=gib(self._ollama.limits.get("memory")),
            prompt_cache_mib=whole(env.get("LLAMA_ARG_CACHE_RAM")),
            has_full_windows=env.get("LLAMA_ARG_SWA_FULL", "").lower() in ON,
            has_gpu=self._view.gpu,
        )

    def put(self, wanted: Sequence[Setting]) -> list[str]:
        """Set the values in place; returns a line for each that was another one before."""
        return [line for each in wanted for line in self._put(each)]

    def _put(self, setting: Setting) -> Iterator[str]:
        revision = self._document["spec"]["template"]["spec"]
        containers = {OLLAMA: [self._ollama], AGENT: [self._agent]}.get(setting.place, [self._ollama, self._agent])
        if setting.name == "nodeSelector":
            yield from _set(revision.setdefault("nodeSelector", {}), ACCELERATOR, setting.value, REVISION)
        elif setting.place == REVISION:
            yield from _set(revision, setting.name, setting.value, REVISION)
        elif setting.place == ANNOTATIONS:
            metadata = self._document["spec"]["template"].setdefault("metadata", {})
            yield from _set(metadata.setdefault("annotations", {}), setting.name, setting.value, ANNOTATIONS)
        elif setting.place == BOTH_PROBES:
            for each in containers:
                if each.raw.get("startupProbe"):
                    yield from _set(each.raw["startupProbe"], setting.name, setting.value, f"{each.name}: startupProbe")
        else:
            for each in containers:
                yield from _set_variable(each, setting.name, str(setting.value))
            if setting.name == "OLLAMA_CONTEXT_LENGTH":
                yield from self._pin(str(setting.value))

    def _pin(self, context: str) -> Iterator[str]:
        """Put the context into the agent's variables too, where they name one: a pin that disagrees is repaired."""
        pinned = PINNED.sub(f"@{context}", self._agent.env.get("PROBE_AGENT_MODEL", ""))
        for name, value in (("PROBE_AGENT_MODEL", pinned), ("PROBE_AGENT_NUM_CTX", context)):
            if name in self._agent.env:
                yield from _set_variable(self._agent, name, value)


def _set(into: Any, name: str, value: str | int, where: str) -> Iterator[str]:
    old = into.get(name)
    if str(old) != str(value):
        into[name] = _like(old, value)
        yield f"{where}: {name}: {'unset' if old is None else old} -> {value}"


def _set_variable(container: Container, name: str, value: str) -> Iterator[str]:
    where = f"container {container.name}"
    if name in container.referred:
        yield f"{where}: {name}: comes from elsewhere and is left as it is; it should be {value}"
        return
    raw: Any = container.raw
    entry = next((each for each in items(raw.get("env")) if mapping(each).get("name") == name), None)
    if entry is None:
        raw.setdefault("env", []).append({"name": name, "value": _like(None, value)})
        yield f"{where}: {name}: unset -> {value}"
    elif str(entry.get("value")) != value:
        old, entry["value"] = entry.get("value"), _like(entry.get("value"), value)
        yield f"{where}: {name}: {old} -> {value}"


def _like(old: Any, value: str | int) -> Any:
    """Return text in the old one's quotes, or in quotes where YAML would read it as something else."""
    if isinstance(value, int):
        return value
    if isinstance(old, ScalarString):
        return type(old)(value)
    reads_otherwise = value.replace(".", "", 1).isdigit() or value in {"true", "false"}
    return SingleQuotedScalarString(value) if reads_otherwise else value
