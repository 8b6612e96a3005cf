"""What must be true of a model before it counts as loaded: pure judgements, no I/O.

Each judgement returns what was looked for, or the `Observation` that says why not.
"""

from collections.abc import Iterable

from probe_agent.ollama.names import same_model
from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel
from probe_agent.readiness.states import Kind, Observation

# GGUF is what llama.cpp loads; safetensors is what Ollama's MLX engine loads. A cloud model has neither.
ACCEPTED_FORMATS = frozenset({"gguf", "safetensors"})


def find_stored(stored: Iterable[StoredModel], spec: ModelSpec) -> StoredModel | Observation:
    """Return the wanted model as stored, or why it must not be loaded."""
    stored = list(stored)
    model = next((entry for entry in stored if same_model(entry.name, spec.name)), None)
    if model is None:
        names = ", ".join(entry.name for entry in stored) or "none"
        return Observation(
            kind=Kind.MODEL_ABSENT,
            model=spec.name,
            reason=f"model {spec.name} is not in Ollama's store (which holds: {names})",
            action=f"Build {spec.name} into the image, or mount a store that holds it, or correct PROBE_AGENT_MODEL.",
        )
    return judge_stored(model, spec) or model


def judge_stored(model: StoredModel, spec: ModelSpec) -> Observation | None:
    """Return why a stored model must not be loaded, or None."""
    if spec.digest is not None and not model.digest.startswith(spec.digest):
        return digest_mismatch(spec, model.digest)
    if model.format not in ACCEPTED_FORMATS:
        return Observation(
            kind=Kind.REFUSED_FORMAT,
            model=spec.name,
            reason=f"model {spec.name} has format {model.format or 'none (a cloud model?)'}, not served from here",
            action=f"Use a model stored as {' or '.join(sorted(ACCEPTED_FORMATS))}.",
        )
    if spec.num_ctx is not None and model.trained_context is not None and spec.num_ctx > model.trained_context:
        return Observation(
            kind=Kind.CONTEXT_UNATTAINABLE,
            model=spec.name,
            reason=f"model {spec.name} was trained with a context of {model.trained_context}, "
            f"less than the pinned {spec.num_ctx}",
            action=f"Set PROBE_AGENT_MODEL to {spec.name}@{model.trained_context} or less, "
            "and OLLAMA_CONTEXT_LENGTH with it.",
        )
    return None


def digest_mismatch(spec: ModelSpec, digest: str) -> Observation:
    """Return the observation that the model is not the one the operator expects."""
    return Observation(
        kind=Kind.DIGEST_MISMATCH,
        model=spec.name,
        reason=f"model {spec.name} has digest {digest[:12]}, expected {(spec.digest or '')[:12]}",
        action="Deploy the image that holds the expected model, or correct PROBE_AGENT_MODEL_DIGEST.",
    )


def not_given(spec: ModelSpec, wanted: int, given: int, trained: int | None) -> Observation:
    """Return the observation that Ollama itself gives another context (tokens) than every load asks for."""
    bound = "a minimum" if given > wanted else "a maximum"
    if given < wanted:
        cure = f"Set PROBE_AGENT_MODEL to {spec.name}@{given} or less, and OLLAMA_CONTEXT_LENGTH with it."
    elif trained is not None and given > trained:
        # A pin of what is given would be refused: no pin helps.
        cure = f"Lower the server's minimum, or serve a model trained with at least {given}; this one has {trained}."
    else:
        cure = f"Set PROBE_AGENT_MODEL to {spec.name}@{given}, and plan the memory for it."
    return Observation(
        kind=Kind.CONTEXT_UNATTAINABLE,
        model=spec.name,
        reason=f"Ollama gives model {spec.name} a context of {given} whenever {wanted} is asked for: "
        f"this server has {bound} for it",
        action=cure,
    )


def find_running(listed: Iterable[RunningModel], spec: ModelSpec, alias: str | None) -> RunningModel | None:
    """Return the wanted model among the running ones, listed under its own name or its `alias`."""
    names = [spec.name] if alias is None else [spec.name, alias]
    return next((model for model in listed if any(same_model(model.name, name) for name in names)), None)


def judge_running(model: RunningModel, spec: ModelSpec, *, num_ctx: int | None, gpu: bool) -> Observation | None:
    """Return the first thing that is wrong with a running model, or None.

    `num_ctx` is the context that every load asks for (None: any). `gpu` wants all of the model in GPU memory.
    """
    # Listed under another tag of the same weights, the model has that tag's digest.
    own_name = same_model(model.name, spec.name)
    if own_name and spec.digest is not None and not model.digest.startswith(spec.digest):
        return digest_mismatch(spec, model.digest)
    if num_ctx is not None and model.context_length is not None and model.context_length != num_ctx:
        return Observation(
            kind=Kind.CONTEXT_DRIFTED,
            model=spec.name,
            reason=f"model {spec.name} is loaded with a context of {model.context_length}, pinned is {num_ctx}",
            action="Keep clients from sending their own num_ctx, and pin the same context in the Modelfile "
            "and in OLLAMA_CONTEXT_LENGTH.",
        )
    if gpu and model.vram_bytes < model.memory_bytes:
        outside = model.memory_bytes - model.vram_bytes
        return Observation(
            kind=Kind.OFFLOADED_TO_CPU,
            model=spec.name,
            reason=f"{outside:,} of {model.memory_bytes:,} bytes of model {spec.name} lie outside GPU memory",
            action="Lower the context, OLLAMA_NUM_PARALLEL or the number of models, choose a smaller KV cache type, "
            "or set PROBE_AGENT_DEVICE=any.",
        )
    return None


def evicted(spec: ModelSpec, listed: Iterable[RunningModel]) -> Observation:
    """Return the observation that Ollama does not list the model, with what it lists instead."""
    others = ", ".join(model.name for model in listed)
    if others:
        cure = "raise OLLAMA_MAX_LOADED_MODELS or the memory, and keep clients from asking for other models"
    else:
        cure = (
            "look in Ollama's log for a runner that died, and keep clients from sending their own num_ctx or keep_alive"
        )
    return Observation(
        kind=Kind.MODEL_EVICTED,
        model=spec.name,
        reason=f"model {spec.name} is not loaded (loaded: {others or 'none'})",
        action=f"Nothing: the agent loads it again. If it recurs, {cure}.",
    )
