"""CPU, memory and GPU: sizes that exist, sums that fit, and what a GPU requires."""

from collections.abc import Iterator

from ops.cloudrun.limits import (
    ACCELERATOR,
    CPU_AND_MEMORY,
    DEFAULT_CPU,
    DEFAULT_MEMORY,
    GEN2_GIB,
    GPU,
    GPU_LEAST,
    INSTANCE_CPU,
    INSTANCE_GIB,
    LARGE_GPU,
    cpus,
    gib,
)
from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.service.containers import Container
from ops.service.model import CONTAINERS, REVISION, REVISION_ANNOTATIONS, Service
from ops.service.problem import Problem

SELECTOR = (*REVISION, "nodeSelector")
THROTTLING, ENVIRONMENT = "run.googleapis.com/cpu-throttling", "run.googleapis.com/execution-environment"


@rule("cpu-memory")
def cpu_memory(service: Service, _options: Options) -> Iterator[Problem]:
    """Each container has a CPU limit that Cloud Run offers, and memory in the range that goes with it."""
    for container in service.containers:
        if not container.limits and service.gpu:
            reason = "the container has no limits: it gets 1 CPU and 512 MiB"
            yield Problem(container.place, reason, "Give resources.limits with cpu and memory.")
        cpu = cpus(container.limits.get("cpu", DEFAULT_CPU))
        memory = gib(container.limits.get("memory", DEFAULT_MEMORY))
        for name, value, example in (("cpu", cpu, "'4'"), ("memory", memory, "16Gi")):
            if value is None:
                reason = f"{container.limits[name]!r} is not a quantity of {name}"
                yield Problem(container.limit_place(name), reason, f"Write one such as {example}.")
        if cpu is not None and memory is not None and not (service.accelerator == LARGE_GPU and cpu > INSTANCE_CPU):
            yield from _size(service, container, cpu, memory)


def _size(service: Service, container: Container, cpu: float, memory: float) -> Iterator[Problem]:
    if cpu >= 1 and cpu not in CPU_AND_MEMORY:
        reason = f"no container can have {cpu:g} CPU"
        yield Problem(container.limit_place("cpu"), reason, "Choose 1, 2, 4, 6 or 8 (or less than 1).")
        return
    if cpu < 1 and service.annotations.get(THROTTLING) == "false":
        reason = f"{cpu:g} CPU does not go with instance-based billing ({THROTTLING} is false)"
        yield Problem(container.limit_place("cpu"), reason, "Give at least 1 CPU.")
    low, high = CPU_AND_MEMORY.get(cpu, (0.125, 1))
    environment = service.annotations.get(ENVIRONMENT)
    if memory < GEN2_GIB and (environment == "gen2" or (service.gpu and environment is None)):
        reason = f"{memory * 1024:g} MiB are less than the second generation takes, 512 MiB"
        yield Problem(container.limit_place("memory"), reason, "Give at least 512Mi.")
    elif not low <= memory <= high:
        reason = f"{memory:g} GiB do not go with {cpu:g} CPU: {low:g} to {high:g} GiB do"
        yield Problem(container.limit_place("memory"), reason, "Change memory or CPU.")


@rule("instance-size")
def instance_size(service: Service, _options: Options) -> Iterator[Problem]:
    """All containers together fit the instance: 8 CPU and 32 GiB without the larger GPU."""
    cpu, memory = service.size
    if service.accelerator != LARGE_GPU and (cpu > INSTANCE_CPU or memory > INSTANCE_GIB):
        reason = f"the containers add up to {cpu:g} CPU and {memory:g} GiB; an instance has at most 8 CPU and 32 GiB"
        yield Problem(CONTAINERS, reason, "Lower the limits: the sidecar needs 1 CPU, so Ollama has at most 6.")


@rule("gpu-minimum")
def gpu_minimum(service: Service, _options: Options) -> Iterator[Problem]:
    """An instance with a GPU has at least the CPU and memory that the GPU requires."""
    cpu, memory = service.size
    name = service.accelerator
    least_cpu, least_memory = GPU_LEAST.get(name, (0, 0))
    if cpu < least_cpu or memory < least_memory:
        reason = f"{name} requires at least {least_cpu} CPU and {least_memory} GiB, the containers have {cpu:g} and "
        yield Problem(CONTAINERS, f"{reason}{memory:g}", "Raise the limits of the container with the GPU.")


@rule("gpu-container")
def gpu_container(service: Service, _options: Options) -> Iterator[Problem]:
    """One container, Ollama's, has one GPU."""
    found = [container for container in service.containers if container.gpu]
    for container in found[1:]:
        reason = f"{container.name!r} asks for a GPU beside {found[0].name!r}: one container of an instance has it"
        yield Problem(container.limit_place(GPU), reason, "Remove it from the container that does not compute.")
    for container in found:
        if str(container.limits[GPU]) != "1":
            reason = f"{container.limits[GPU]!r} GPUs: an instance has one"
            yield Problem(container.limit_place(GPU), reason, "Write '1'.")
    if found and service.ollama and service.ollama not in found:
        reason = f"{found[0].name!r} has the GPU, Ollama ({service.ollama.name!r}) has none"
        yield Problem(found[0].limit_place(GPU), reason, "Move it to Ollama's limits.")


@rule("gpu-selector")
def gpu_selector(service: Service, _options: Options) -> Iterator[Problem]:
    """The limit, which asks for a GPU, and the nodeSelector, which names it, go together."""
    name = service.accelerator
    limited = [container for container in service.containers if container.gpu]
    if name and name not in GPU_LEAST:
        fix = f"Choose one of: {', '.join(GPU_LEAST)}."
        yield Problem((*SELECTOR, ACCELERATOR), f"Cloud Run has no GPU called {name!r}", fix)
    if limited and not name:
        reason = "a container asks for a GPU, but no nodeSelector says which"
        yield Problem(limited[0].limit_place(GPU), reason, f"Give nodeSelector: {{{ACCELERATOR}: nvidia-l4}}.")
    if name and not limited:
        reason = f"the nodeSelector asks for {name}, but no container has the limit {GPU}"
        yield Problem((*SELECTOR, ACCELERATOR), reason, f"Give Ollama's limits {GPU}: '1'.")


@rule("gpu-billing")
def gpu_billing(service: Service, _options: Options) -> Iterator[Problem]:
    """A GPU requires instance-based billing, and does not go with the first generation."""
    if not service.gpu:
        return
    billing, environment = service.annotations.get(THROTTLING), service.annotations.get(ENVIRONMENT)
    if billing != "false":
        found = "is not set" if billing is None else f"is {billing!r}"
        reason = f"{THROTTLING} {found}: a GPU requires instance-based billing"
        yield Problem((*REVISION_ANNOTATIONS, THROTTLING), reason, "Set it to 'false'.")
    if environment == "gen1":
        reason = f"{ENVIRONMENT} is 'gen1': a GPU requires the second generation"
        yield Problem((*REVISION_ANNOTATIONS, ENVIRONMENT), reason, "Set it to 'gen2', or remove it.")
