"""CPU, memory and GPU: sizes that exist, sums that fit, and what a GPU requires."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ops.cloudrun.limits import (
    ACCELERATOR,
    CPU_AND_MEMORY,
    GPU,
    GPU_LEAST,
    INSTANCE_CPU,
    INSTANCE_GIB,
    LARGE_GPU,
    cpus,
    gib,
)
from ops.lint.findings import Options, Problem, rule
from ops.lint.values import mapping, text
from ops.lint.view import REVISION, REVISION_ANNOTATIONS, Container, View

if TYPE_CHECKING:
    from collections.abc import Iterator

SELECTOR = (*REVISION, "nodeSelector")


def accelerator(view: View) -> str:
    """Return the GPU that the revision asks for, or nothing."""
    return text(mapping(view.spec.get("nodeSelector")).get(ACCELERATOR))


def sizes(view: View) -> tuple[float, float]:
    """Return CPU and GiB of all containers together; where a limit is not written, the defaults 1 and 0.5."""
    cpu = math.fsum(cpus(c.limits.get("cpu", "1")) or 0 for c in view.containers)
    return cpu, math.fsum(gib(c.limits.get("memory", "512Mi")) or 0 for c in view.containers)


def _limit(container: Container, name: str) -> tuple[str | int, ...]:
    return (*container.place, "resources", "limits", name)


@rule("cpu-memory")
def cpu_memory(view: View, _options: Options) -> Iterator[Problem]:
    """Each container has a CPU limit that Cloud Run offers, with memory in its range."""
    for container in view.containers:
        if not container.limits and view.gpu:
            reason = "the container has no limits: it gets 1 CPU and 512 MiB"
            yield Problem(container.place, reason, "Give resources.limits with cpu and memory.")
        cpu, memory = cpus(container.limits.get("cpu", "1")), gib(container.limits.get("memory", "512Mi"))
        for name, value, example in (("cpu", cpu, "'4'"), ("memory", memory, "16Gi")):
            if value is None:
                reason = f"{container.limits[name]!r} is no quantity of {name}"
                yield Problem(_limit(container, name), reason, f"Write one such as {example}.")
        if cpu is None or memory is None or (accelerator(view) == LARGE_GPU and cpu > INSTANCE_CPU):
            continue
        if cpu >= 1 and cpu not in CPU_AND_MEMORY:
            reason = f"no container can have {cpu:g} CPU"
            yield Problem(_limit(container, "cpu"), reason, "Choose 1, 2, 4, 6 or 8 (or less than 1).")
            continue
        low, high = CPU_AND_MEMORY.get(cpu, (0.125, 1))
        if not low <= memory <= high:
            reason = f"{memory:g} GiB do not go with {cpu:g} CPU: {low:g} to {high:g} GiB do"
            yield Problem(_limit(container, "memory"), reason, "Change memory or CPU.")


@rule("instance-size")
def instance_size(view: View, _options: Options) -> Iterator[Problem]:
    """All containers together fit the instance: 8 CPU and 32 GiB without the larger GPU."""
    cpu, memory = sizes(view)
    place = (*REVISION, "containers")
    if accelerator(view) != LARGE_GPU and (cpu > INSTANCE_CPU or memory > INSTANCE_GIB):
        reason = f"the containers add up to {cpu:g} CPU and {memory:g} GiB; an instance has at most 8 CPU and 32 GiB"
        yield Problem(place, reason, "Lower the limits: the sidecar needs 1 CPU, so Ollama has at most 6.")


@rule("gpu-minimum")
def gpu_minimum(view: View, _options: Options) -> Iterator[Problem]:
    """With a GPU the instance has the CPU and memory that the GPU asks for."""
    cpu, memory = sizes(view)
    name = accelerator(view)
    least_cpu, least_memory = GPU_LEAST.get(name, (0, 0))
    if cpu < least_cpu or memory < least_memory:
        reason = f"{name} asks for at least {least_cpu} CPU and {least_memory} GiB, the containers have {cpu:g} and "
        yield Problem((*REVISION, "containers"), f"{reason}{memory:g}", "Raise the limits of the container with it.")


@rule("gpu-container")
def gpu_container(view: View, _options: Options) -> Iterator[Problem]:
    """One container has the GPU, one GPU, and it is Ollama's."""
    found = [container for container in view.containers if GPU in container.limits]
    for container in found[1:]:
        reason = f"{container.name!r} asks for a GPU beside {found[0].name!r}: one container of an instance has it"
        yield Problem(_limit(container, GPU), reason, "Remove it from the container that does not compute.")
    for container in found:
        if str(container.limits[GPU]) != "1":
            yield Problem(_limit(container, GPU), f"{container.limits[GPU]!r} GPUs: an instance has one", "Write '1'.")
    if found and view.ollama and view.ollama not in found:
        reason = f"{found[0].name!r} has the GPU, Ollama ({view.ollama.name!r}) has none"
        yield Problem(_limit(found[0], GPU), reason, "Move it to Ollama's limits.")


@rule("gpu-selector")
def gpu_selector(view: View, _options: Options) -> Iterator[Problem]:
    """The limit and the nodeSelector go together: one says that there is a GPU, the other which."""
    name = accelerator(view)
    limited = [container for container in view.containers if GPU in container.limits]
    if name and name not in GPU_LEAST:
        fix = f"Choose one of: {', '.join(GPU_LEAST)}."
        yield Problem((*SELECTOR, ACCELERATOR), f"Cloud Run has no GPU called {name!r}", fix)
    if limited and not name:
        reason = "a container asks for a GPU, but no nodeSelector says which"
        yield Problem(_limit(limited[0], GPU), reason, f"Give nodeSelector: {{{ACCELERATOR}: nvidia-l4}}.")
    if name and not limited:
        reason = f"the nodeSelector asks for {name}, but no container has the limit {GPU}"
        yield Problem((*SELECTOR, ACCELERATOR), reason, f"Give Ollama's limits {GPU}: '1'.")


@rule("gpu-billing")
def gpu_billing(view: View, _options: Options) -> Iterator[Problem]:
    """A GPU requires CPU that is always allocated, and the second generation."""
    if not view.gpu:
        return
    for name, wanted, why in (
        ("run.googleapis.com/cpu-throttling", "false", "a GPU requires instance-based billing"),
        ("run.googleapis.com/execution-environment", "gen2", "a GPU requires the second generation"),
    ):
        value = view.annotations.get(name)
        if value != wanted:
            found = "is not set" if value is None else f"is {value!r}"
            yield Problem((*REVISION_ANNOTATIONS, name), f"{name} {found}: {why}", f"Set it to '{wanted}'.")
