"""The memory of a loaded model, counted as llama.cpp counts it; pure, all sizes in bytes.

Source of the rules: llama.cpp as Ollama 0.32.15 carries it (`llama_kv_cache`, `llama_kv_cache_iswa`,
`llama_memory_recurrent`, `llama_context`), and that Ollama's choice of flags (`llm/llama_server.go`,
`server/sched.go`). benchmarks/plan.py holds the sums against what a real llama-server reports.
"""

from __future__ import annotations

from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from ops import kv_cache
from ops.plan.gguf_facts import ModelShape

MIB, GIB = 2**20, 2**30
# Contexts and windows are rounded up to a multiple of this many tokens.
CELLS = 256
FLOAT_BYTES, HALF_BYTES = 4, 2
SMALL_BATCH, MEDIUM_BATCH, LARGE_BATCH = 512, 1024, 2048
# Above so many tokens of all slots together Ollama raises its batch.
MEDIUM_CONTEXT, LARGE_CONTEXT = 4096, 32768
BATCH_SURCHARGE = {MEDIUM_BATCH: 768 * MIB, LARGE_BATCH: 2 * GIB}
# A batch is only taken where Ollama's own rough guess of the model is below this share of the free memory.
BATCH_HEADROOM = {MEDIUM_BATCH: 0.75, LARGE_BATCH: 0.6}
BATCH_CEILING = 0.8


# Without flash attention: rows of the stream's width that live beside the scores, as measured.
BESIDE_SCORES = 6


class Unplannable(Exception):
    """These settings do not go together; the text says which, why, and what to set."""


@dataclass(frozen=True, slots=True)
class Load:
    """How a model is loaded: the settings that decide its memory."""

    # Tokens of each slot: OLLAMA_CONTEXT_LENGTH, or num_ctx.
    context: int
    # Slots: OLLAMA_NUM_PARALLEL.
    parallel: int = 1
    # OLLAMA_KV_CACHE_TYPE.
    kv_type: str = kv_cache.REFERENCE
    # Tokens that are read at once; None: as Ollama chooses.
    batch: int | None = None
    # OLLAMA_FLASH_ATTENTION; unset, it is on wherever the device can.
    has_flash_attention: bool = True
    # LLAMA_ARG_SWA_FULL: windows are kept as long as the context, so that prompt caches can be used.
    has_full_windows: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What a model takes, in bytes."""

    weights: int
    # Keys and values of all slots, recurrent states included.
    kv_cache: int
    # The buffers of the graph and its output, for one batch.
    compute: int
    # An image's or a sound's encoder; its buffers live in what a device keeps free (`ops.plan.gpus`).
    projector: int
    # As Ollama will run it: one for some architectures.
    slots: int
    # Tokens of each slot, as llama.cpp rounds them; never more than the model was trained for.
    context: int
    # What stays in the host's memory when the model is on a GPU: the input layer's table.
    host: int = 0

    @property
    def total(self) -> int:
        """All of it, on the device."""
        return self.weights + self.kv_cache + self.compute + self.projector

    @property
    def kv_cache_of_a_slot(self) -> int:
        """What one more slot of this context costs, but for the buffers."""
        return self.kv_cache // self.slots


def memory(shape: ModelShape, load: Load, available: int = 0, *, on_gpu: bool = False) -> Memory:
    """Return what the model takes when it is loaded so; `available` bytes decide Ollama's batch, 0: no bound.

    Raises:
        Unplannable: the KV cache's type needs flash attention, or does not divide the model's heads.

    """
    slots = 1 if shape.has_one_slot else load.parallel
    asked = min(load.context, shape.trained_context)
    total = asked * slots
    tokens = min(total, load.batch or batch(shape, total, available))
    cells = _padded(_padded(total) // slots)
    windows = cells if load.has_full_windows else _padded(min(cells, shape.window + tokens))
    output = shape.vocabulary * slots * FLOAT_BYTES
    weights = shape.weight_bytes
    if on_gpu:
        weights += shape.duplicated_bytes - shape.host_bytes
    return Memory(
        weights=weights,
        kv_cache=_kv_cache(shape, load, slots, cells, windows),
        compute=_compute(shape, load, tokens, (cells, windows)) + output,
        projector=shape.projector_bytes,
        slots=slots,
        context=cells,
        host=shape.host_bytes if on_gpu else 0,
    )


def batch(shape: ModelShape, total_context: int, available: int = 0) -> int:
    """Return the batch that Ollama gives llama-server: larger for more context, if its rough guess leaves the room."""
    wanted = [SMALL_BATCH]
    if total_context > MEDIUM_CONTEXT:
        wanted.append(MEDIUM_BATCH)
    if total_context > LARGE_CONTEXT:
        wanted.append(LARGE_BATCH)
    if not available:
        return wanted[-1]
    guess = shape.weight_bytes + 2 * shape.guessed_width * total_context * HALF_BYTES
    return next(each for each in reversed(wanted) if each == SMALL_BATCH or _has_room(each, guess, available))


def _has_room(size: int, guess: int, available: int) -> bool:
    return guess <= BATCH_HEADROOM[size] * available and guess + BATCH_SURCHARGE[size] <= BATCH_CEILING * available


def row_bytes(width: int, kv_type: str) -> int:
    """Return the bytes of `width` numbers in a KV cache's type; Unplannable when its blocks do not divide them."""
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kv_type.upper()]]
    if width % block:
        raise Unplannable(f"a KV cache of {kv_type} takes {block} numbers at a time, the model keeps {width}; use f16")
    return width // block * size


def _kv_cache(shape: ModelShape, load: Load, slots: int, cells: int, windows: int) -> int:
    if load.kv_type != kv_cache.REFERENCE and not load.has_flash_attention:
        raise Unplannable(f"a KV cache of {load.kv_type} needs flash attention; set OLLAMA_FLASH_ATTENTION=1")
    widest = max((layer.value_width for layer in shape.layers), default=0)
    total = 0
    for layer in shape.layers:
        # Without flash attention values lie transposed, and every layer's are as wide as the widest.
        values = layer.value_width if load.has_flash_attention or not layer.value_width else widest
        token = row_bytes(layer.key_width, load.kv_type) + row_bytes(values, load.kv_type)
        total += token * (windows if layer.is_window else cells) + layer.state_width * FLOAT_BYTES
    return total * slots


def _compute(shape: ModelShape, load: Load, tokens: int, sizes: tuple[int, int]) -> int:
    """Return the graph's buffers: a mask for each kind of cache, and the widest place of the graph."""
    kinds = (
        any(layer.key_width and not layer.is_window for layer in shape.layers),
        any(layer.is_window for layer in shape.layers),
    )
    seen = [cells for cells, is_there in zip(sizes, kinds, strict=True) if is_there]
    if load.has_flash_attention:
        return tokens * (sum(seen) * HALF_BYTES + shape.working_width * FLOAT_BYTES)
    # Without it every head's score of every kept token is a number in memory.
    scores = max(seen, default=0) * shape.heads + BESIDE_SCORES * shape.embedding_width
    return tokens * FLOAT_BYTES * (sum(seen) + max(scores, shape.working_width))


def _padded(tokens: int) -> int:
    return -(-tokens // CELLS) * CELLS
