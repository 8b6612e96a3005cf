"""The devices of Cloud Run: their memory, what of it may be used, and the instance around them."""

from __future__ import annotations

from dataclasses import dataclass

from ops.plan.memory import GIB, MIB

CPU = "cpu"
KEPT_FREE = GIB
"""What llama.cpp leaves free before it moves layers to the CPU (`--fit-target`, 1024 MiB by default).

Beside a projector Ollama asks for the projector's weights, which llama.cpp's fitting does not see, and 1 GiB for its
buffers (`mmprojFitTargetMiB`): the weights are counted with the model, so that the same gibibyte stays. Without a GPU
it is what Ollama and its runners take beside the models.
"""

# What the driver takes for each runner's process before a byte of a model (Ollama, `DeviceInfo.MinimumMemory`).
RUNNER_BYTES = 457 * MIB


@dataclass(frozen=True, slots=True)
class Device:
    """One kind of device. `memory_bytes` is what it reports; None: the memory of Ollama's container."""

    name: str
    memory_bytes: int | None
    # Of the whole instance, as planned unless told otherwise.
    vcpu: float
    gib: float

    @property
    def is_gpu(self) -> bool:
        """Whether the weights lie in a memory of their own."""
        return self.memory_bytes is not None


DEVICES = {
    each.name: each
    for each in (
        # 24 GB documented; Ollama reports 22.5 GiB. 8 CPU and 32 GiB are the most, and recommended (GPU support).
        Device("nvidia-l4", int(22.5 * GIB), 8, 32),
        # 96 GB documented, taken as decimal: the lower reading. 20 CPU and 80 GiB are the least.
        Device("nvidia-rtx-pro-6000", 96 * 10**9, 20, 80),
        Device(CPU, None, 8, 32),
    )
}


def usable(device: Device, models: int, container: int, prompt_cache: int) -> int:
    """Return the bytes that models may take: the device's, or without a GPU the host's, less what must be free."""
    if device.memory_bytes is not None:
        return device.memory_bytes - KEPT_FREE - models * RUNNER_BYTES
    return host_room(models, container, prompt_cache)


def host_room(models: int, container: int, prompt_cache: int) -> int:
    """Return the bytes of the container that models may take; `prompt_cache` is LLAMA_ARG_CACHE_RAM, for each model."""
    return container - KEPT_FREE - models * prompt_cache
