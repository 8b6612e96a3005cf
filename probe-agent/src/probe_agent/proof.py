"""What must be true of a model before it may be called loaded: pure judgements, no I/O.

Each judgement returns what it was asked for, or the `Observation` that says why not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from probe_agent.readiness import (
    ContextDrifted,
    ContextUnattainable,
    DigestMismatch,
    ModelAbsent,
    ModelEvicted,
    Observation,
    RefusedFormat,
    SpilledToCpu,
)

# GGUF is what llama.cpp loads; safetensors is what Ollama's MLX engine loads. A cloud model has neither.
ACCEPTED_FORMATS = frozenset({"gguf", "safetensors"})
# Ollama writes a keep_alive of -1 as an expiry some 292 years ahead; any request-sized keep_alive is far below a year.
PINNED_FOR_AT_LEAST = timedelta(days=365)


def embeds_only(capabilities: tuple[str, ...]) -> bool:
    """Whether a model of these capabilities can embed but not generate."""
    return "embedding" in capabilities and "completion" not in capabilities


@dataclass(frozen=True, slots=True)
class ModelPin:
    """What the operator wants served: a model's name, its context (None: Ollama's own), its digest (None: any).

    `num_ctx` is in tokens per slot. `digest` is lower-case hex, at least 12 digits of the manifest's SHA-256.
    `alias` is another model's name that Ollama lists the runner under: tags of one blob share a runner, which
    keeps the name that it was first loaded by.
    """

    name: str
    num_ctx: int | None = None
    digest: str | None = None
    alias: str | None = None

    @property
    def full_name(self) -> str:
        """The name as Ollama lists it: with a tag."""
        last = self.name.rsplit("/", 1)[-1]
        return self.name if ":" in last else f"{self.name}:latest"

    def __str__(self) -> str:
        return self.name if self.num_ctx is None else f"{self.name}@{self.num_ctx}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """One entry of `/api/tags`. `size_bytes` is that of its files; None where this Ollama does not tell."""

    name: str
    digest: str
    size_bytes: int
    format: str
    quantization: str
    trained_context: int | None = None
    capabilities: tuple[str, ...] | None = None

    @property
    def embeds_only(self) -> bool:
        """Whether the model can embed but not generate."""
        return embeds_only(self.capabilities or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """What `/api/show` tells, in every version: `blob` is what the weights are stored as."""

    capabilities: tuple[str, ...]
    trained_context: int | None
    blob: str

    @property
    def embeds_only(self) -> bool:
        """Whether the model can embed but not generate."""
        return embeds_only(self.capabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentModel:
    """One entry of `/api/ps`: sizes in bytes, `context_length` in tokens per slot (None: an old Ollama)."""

    name: str
    digest: str
    memory_bytes: int
    vram_bytes: int
    context_length: int | None
    expires_at: datetime | None

    @property
    def device(self) -> str:
        """Where the weights and caches lie: `gpu`, `cpu`, or `cpu+gpu` when they spilled."""
        if self.vram_bytes <= 0:
            return "cpu"
        return "gpu" if self.vram_bytes >= self.memory_bytes else "cpu+gpu"

    def pinned(self, now: datetime) -> bool:
        """Whether it is kept without end (`keep_alive` -1), as far as Ollama tells."""
        return self.expires_at is None or self.expires_at - now > PINNED_FOR_AT_LEAST


def same_name(listed: str, pin: ModelPin) -> bool:
    """Whether a listed name means the pinned model; Ollama compares names without regard to case."""
    return listed.casefold() == pin.full_name.casefold() or listed == pin.alias


def find_stored(stored: list[StoredModel], pin: ModelPin) -> StoredModel | Observation:
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


def digest_mismatch(pin: ModelPin, digest: str) -> DigestMismatch:
    """Say that the model is another one than the operator expects."""
    return DigestMismatch(
        reason=f"model {pin.name} has digest {digest[:12]}, expected {(pin.digest or '')[:12]}",
        action="Deploy the image that holds the expected model, or correct PROBE_AGENT_MODEL_DIGEST.",
    )


def context_unattainable(pin: ModelPin, longest: int) -> ContextUnattainable:
    """Say that `pin` asks for more context than the model's `longest` (tokens)."""
    return ContextUnattainable(
        reason=f"model {pin.name} was trained with a context of {longest}, less than the pinned {pin.num_ctx}",
        action=f"Set PROBE_AGENT_MODEL to {pin.name}@{longest} or less, and OLLAMA_CONTEXT_LENGTH with it.",
    )


def present(listed: list[ResidentModel], pins: Iterable[ModelPin]) -> dict[str, ResidentModel]:
    """Return those of the pinned models that are loaded, by their configured name."""
    found = {pin.name: next((model for model in listed if same_name(model.name, pin)), None) for pin in pins}
    return {name: model for name, model in found.items() if model is not None}


def judge(
    resident: dict[str, ResidentModel], pins: Iterable[ModelPin], *, gpu: bool, listed: list[ResidentModel]
) -> Observation | None:
    """Return the first thing that is wrong with what is loaded, or None; `gpu` wants all of it in GPU memory."""
    for pin in pins:
        model = resident.get(pin.name)
        finding = _absent(pin, listed) if model is None else _judge_one(model, pin, gpu=gpu)
        if finding is not None:
            return finding
    return None


def _absent(pin: ModelPin, listed: list[ResidentModel]) -> ModelEvicted:
    others = ", ".join(model.name for model in listed) or "none"
    return ModelEvicted(
        reason=f"model {pin.name} is not loaded (loaded: {others})",
        action="Nothing: the agent loads it again. If it recurs, raise OLLAMA_MAX_LOADED_MODELS or the memory, "
        "and keep clients from sending keep_alive or asking for other models.",
    )


def _judge_one(model: ResidentModel, pin: ModelPin, *, gpu: bool) -> Observation | None:
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
        return SpilledToCpu(
            reason=f"{outside:,} of {model.memory_bytes:,} bytes of model {pin.name} lie outside GPU memory",
            action="Lower the context, OLLAMA_NUM_PARALLEL or the number of models, choose a smaller KV cache type, "
            "or set PROBE_AGENT_DEVICE=any.",
        )
    return None
