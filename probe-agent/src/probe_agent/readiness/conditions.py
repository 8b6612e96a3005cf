"""What must be true of a model before it may be called loaded: pure judgements, no I/O.

Each judgement returns what it was asked for, or the `Observation` that says why not.
"""

from collections.abc import Iterable

from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel, same_name
from probe_agent.readiness.states import (
    ContextDrifted,
    ContextUnattainable,
    DigestMismatch,
    ModelAbsent,
    ModelEvicted,
    Observation,
    OffloadedToCpu,
    RefusedFormat,
)

# GGUF is what llama.cpp loads; safetensors is what Ollama's MLX engine loads. A cloud model has neither.
ACCEPTED_FORMATS = frozenset({"gguf", "safetensors"})


def find_stored(stored: list[StoredModel], pin: ModelSpec) -> StoredModel | Observation:
    """Return the pinned model as stored, or why it must not be loaded."""
    model = next((entry for entry in stored if same_name(entry.name, pin)), None)
    if model is None:
        names = ", ".join(entry.name for entry in stored) or "none"
        return ModelAbsent(
            reason=f"model {pin.name} is not in Ollama's store (which holds: {names})",
            action=f"Build {pin.name} into the image, or mount a store that holds it, or correct PROBE_AGENT_MODEL.",
        )
    if pin.digest is not None and not model.digest.startswith(pin.digest):
        return digest_mismatch(pin, model.digest)
    if model.format not in ACCEPTED_FORMATS:
        return RefusedFormat(
            reason=f"model {pin.name} has format {model.format or 'none (a cloud model?)'}, not served from here",
            action=f"Use a model stored as {' or '.join(sorted(ACCEPTED_FORMATS))}.",
        )
    if pin.num_ctx is not None and model.trained_context is not None and pin.num_ctx > model.trained_context:
        return context_unattainable(pin, model.trained_context)
    return model


def digest_mismatch(pin: ModelSpec, digest: str) -> DigestMismatch:
    """Say that the model is another one than the operator expects."""
    return DigestMismatch(
        reason=f"model {pin.name} has digest {digest[:12]}, expected {(pin.digest or '')[:12]}",
        action="Deploy the image that holds the expected model, or correct PROBE_AGENT_MODEL_DIGEST.",
    )


def context_unattainable(pin: ModelSpec, longest: int) -> ContextUnattainable:
    """Say that `pin` asks for more context than the model's `longest` (tokens)."""
    return ContextUnattainable(
        reason=f"model {pin.name} was trained with a context of {longest}, less than the pinned {pin.num_ctx}",
        action=f"Set PROBE_AGENT_MODEL to {pin.name}@{longest} or less, and OLLAMA_CONTEXT_LENGTH with it.",
    )


def present(listed: list[RunningModel], pins: Iterable[ModelSpec]) -> dict[str, RunningModel]:
    """Return those of the pinned models that are loaded, by their configured name."""
    found = {pin.name: next((model for model in listed if same_name(model.name, pin)), None) for pin in pins}
    return {name: model for name, model in found.items() if model is not None}


def judge(
    resident: dict[str, RunningModel], pins: Iterable[ModelSpec], *, gpu: bool, listed: list[RunningModel]
) -> Observation | None:
    """Return the first thing that is wrong with what is loaded, or None; `gpu` wants all of it in GPU memory."""
    for pin in pins:
        model = resident.get(pin.name)
        finding = _absent(pin, listed) if model is None else _judge_one(model, pin, gpu=gpu)
        if finding is not None:
            return finding
    return None


def _absent(pin: ModelSpec, listed: list[RunningModel]) -> ModelEvicted:
    others = ", ".join(model.name for model in listed) or "none"
    return ModelEvicted(
        reason=f"model {pin.name} is not loaded (loaded: {others})",
        action="Nothing: the agent loads it again. If it recurs, raise OLLAMA_MAX_LOADED_MODELS or the memory, "
        "and keep clients from sending keep_alive or asking for other models.",
    )


def _judge_one(model: RunningModel, pin: ModelSpec, *, gpu: bool) -> Observation | None:
    # Under an alias the digest is that of another tag; the weights were found to be the same.
    if pin.digest is not None and model.name != pin.alias and not model.digest.startswith(pin.digest):
        return digest_mismatch(pin, model.digest)
    if pin.num_ctx is not None and model.context_length is not None and model.context_length != pin.num_ctx:
        return ContextDrifted(
            model=pin.name,
            observed=model.context_length,
            reason=f"model {pin.name} is loaded with a context of {model.context_length}, pinned is {pin.num_ctx}",
            action="Keep clients from sending their own num_ctx, and pin the same context in the Modelfile "
            "and in OLLAMA_CONTEXT_LENGTH.",
        )
    if gpu and model.vram_bytes < model.memory_bytes:
        outside = model.memory_bytes - model.vram_bytes
        return OffloadedToCpu(
            reason=f"{outside:,} of {model.memory_bytes:,} bytes of model {pin.name} lie outside GPU memory",
            action="Lower the context, OLLAMA_NUM_PARALLEL or the number of models, choose a smaller KV cache type, "
            "or set PROBE_AGENT_DEVICE=any.",
        )
    return None
