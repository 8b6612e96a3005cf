"""What fits: for each KV cache type the largest context, and the most slots; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ops.plan.memory import CELLS, Load, Memory, Unplannable, memory
from ops.plan.options import MOST_SLOTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.plan.asked import Asked

QUALITY = {
    "f16": "as trained",
    "q8_0": "very small loss, usually not noticed",
    "q4_0": "small to medium loss, more at long contexts",
}
"""As Ollama's FAQ puts it; models with few heads for keys and values may lose more."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One KV cache type: what it takes, and what would fit with it. None: nothing does."""

    kv_type: str
    memory: Memory | None
    """None where the model's heads do not go with the type; `reason` says so."""
    fits: bool
    largest_context: int | None
    largest_parallel: int | None
    quality: str
    reason: str = ""


def memory_of(asked: Asked, load: Load) -> Memory:
    """Return what one of the models takes, loaded so; raises `Unplannable`."""
    return memory(asked.shape, load, asked.device.memory_bytes or 0, on_gpu=asked.device.is_gpu)


def fit_of(asked: Asked, kv_type: str, room: int) -> Fit:
    """Return what a KV cache type takes, and what fits with it in `room` bytes."""
    load = replace(asked.load, kv_type=kv_type)

    def fits(changed: Load) -> bool:
        return memory_of(asked, changed).total * asked.models <= room

    try:
        own = memory_of(asked, load)
    except Unplannable as error:
        return Fit(kv_type, None, False, None, None, QUALITY.get(kv_type, ""), str(error))
    steps = -(-asked.shape.trained_context // CELLS)
    context = _largest(lambda step: fits(replace(load, context=step * CELLS)), steps)
    slots = 1 if asked.shape.has_one_slot else MOST_SLOTS
    return Fit(
        kv_type=kv_type,
        memory=own,
        fits=fits(load),
        largest_context=min(context * CELLS, asked.shape.trained_context) if context else None,
        largest_parallel=_largest(lambda count: fits(replace(load, parallel=count)), slots) or None,
        quality=QUALITY.get(kv_type, ""),
    )


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest number up to `most` that fits, or 0; from above, since a smaller batch can make room again."""
    return next((number for number in range(most, 0, -1) if fits(number)), 0)
