"""What the operator wants to know of: the model, the device, how it is loaded, and what is sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ops.cloudrun.scaling import Traffic
from ops.plan import startup
from ops.plan.gguf_facts import ModelShape
from ops.plan.gpus import Device
from ops.plan.memory import Load


class Source(StrEnum):
    """Where a value comes from."""

    OPTION = "option"
    # The service's, which --write names: it is there already.
    FILE = "file"
    DEFAULT = "default"
    # It follows from the others.
    PLAN = "plan"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question."""

    shape: ModelShape
    device: Device
    load: Load
    models: int
    vcpu: float
    # Of the whole instance.
    gib: float
    # Of Ollama's container.
    container_gib: float
    prompt_cache_mib: int
    zonal_redundancy: bool
    ideal_batch: int | None = None
    memory_bytes: int | None = None
    traffic: Traffic | None = None
    # By a load test: slots of each model, and the seconds of a request with all of them busy.
    measured: tuple[tuple[int, float], ...] = ()
    # Tokens of an answer, for the price of a million.
    tokens: int | None = None
    bytes_per_second: float | None = None
    around_seconds: float = startup.BOOT_SECONDS + startup.WARM_SECONDS
    margin: float = startup.MARGIN
    least_instances: int = 0
    most_instances: int = 3
    # By the setting's name; what is missing follows from the others.
    sources: Mapping[str, Source] = field(default_factory=dict)

    @property
    def told(self) -> frozenset[str]:
        """The settings that an option or the file names."""
        return frozenset(name for name, source in self.sources.items() if source in (Source.OPTION, Source.FILE))
