"""What fits: for each KV cache type the largest context, and the most slots; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from ops.plan.asked import Asked
from ops.plan.memory import CELLS, LARGE_CONTEXT, MEDIUM_CONTEXT, Load, Memory, Unplannable, batch, memory
from ops.plan.options import MOST_SLOTS

# As Ollama's FAQ puts it; models with few heads for keys and values may lose more.
QUALITY = {
    "f16": "as trained",
    "q8_0": "very small loss, usually not noticed",
    "q4_0": "small to medium loss, more at long contexts",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """One KV cache type: what it takes, and what would fit with it. None: nothing does."""

    kv_type: str
    # None where the model's heads do not go with the type; `reason` says so.
    memory: Memory | None
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
    slots = 1 if asked.shape.has_one_slot else MOST_SLOTS
    return Fit(
        kv_type=kv_type,
        memory=own,
        fits=fits(load),
        largest_context=largest_context(asked, load, fits),
        largest_parallel=next((count for count in range(slots, 0, -1) if fits(replace(load, parallel=count))), None),
        quality=QUALITY.get(kv_type, ""),
    )


def largest_context(asked: Asked, load: Load, fits: Callable[[Load], bool]) -> int | None:
    """Return the largest context that fits, by bisection: a model may be trained for millions of tokens.

    More context takes more memory while Ollama's batch is the same. It grows at two bounds only, and shrinks between
    them where the room gets short: from the end of each range, the batch there is tried on all of the range.
    """
    trained, slots = asked.shape.trained_context, 1 if asked.shape.has_one_slot else load.parallel
    bounds = [min(bound // slots, trained) // CELLS for bound in (LARGE_CONTEXT, MEDIUM_CONTEXT)]
    high = -(-trained // CELLS)
    for low in (*bounds, 0):
        end = high
        while end > low:
            context = min(end * CELLS, trained)
            tokens = load.batch or batch(asked.shape, context * slots, asked.device.memory_bytes or 0)
            fitting = _last(fits, replace(load, batch=tokens), low, end)
            if fitting == end:
                return context
            end = fitting
        high = low
    return None


def _last(fits: Callable[[Load], bool], load: Load, low: int, high: int) -> int:
    """Return the last of the contexts above `low`, in cells, that fits; `low` where none does."""
    steps = range(low + 1, high + 1)
    return low + bisect_left(steps, True, key=lambda step: not fits(replace(load, context=step * CELLS)))
