"""Ollama's nouns: what is wanted (`ModelSpec`), and what its API lists and shows. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

# Ollama writes a keep_alive of -1 as an expiry some 292 years ahead; any request-sized keep_alive is far below a year.
PINNED_FOR_AT_LEAST = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the operator wants served: a model's name, its context (None: Ollama's own), its digest (None: any).

    `num_ctx` is in tokens per slot. `digest` is lower-case hex, at least 12 digits of the manifest's SHA-256.
    """

    name: str
    num_ctx: int | None = None
    digest: str | None = None

    def __str__(self) -> str:
        return self.name if self.num_ctx is None else f"{self.name}@{self.num_ctx}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """One entry of `/api/tags`. `size_bytes` is that of its files; None: this Ollama does not say."""

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
        capabilities = self.capabilities or ()
        return "embedding" in capabilities and "completion" not in capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownModel:
    """What `/api/show` says, in every version: `blob` is what the weights are stored as."""

    capabilities: tuple[str, ...]
    trained_context: int | None
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningModel:
    """One entry of `/api/ps`: sizes in bytes, `context_length` in tokens per slot (None: an old Ollama)."""

    name: str
    digest: str
    memory_bytes: int
    vram_bytes: int
    context_length: int | None
    expires_at: datetime | None

    @property
    def device(self) -> str:
        """Where the weights and caches lie: `gpu`, `cpu`, or `cpu+gpu` when they are partly offloaded."""
        if self.vram_bytes <= 0:
            return "cpu"
        return "gpu" if self.vram_bytes >= self.memory_bytes else "cpu+gpu"

    def pinned(self, now: datetime) -> bool:
        """Whether it is kept without end (`keep_alive` -1), as far as Ollama says."""
        return self.expires_at is None or self.expires_at - now > PINNED_FOR_AT_LEAST
