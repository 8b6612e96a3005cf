"""What has been observed so far: written by the controller and its steps, read through views."""

from collections import Counter
from dataclasses import dataclass, field

from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel
from probe_agent.readiness.cold_start import Phase, Waterfall
from probe_agent.readiness.states import ReadinessState


@dataclass(slots=True)
class Observed:
    """Facts and counts of one instance's life; models by their configured name, times in monotonic seconds.

    `contexts` holds what Ollama gave to models whose context nobody chose: later loads ask for the same. `aliases`
    holds the name under which Ollama lists a model that shares its weights with another tag.
    """

    started: float
    models: tuple[ModelSpec, ...]
    waterfall: Waterfall
    ollama_version: str | None = None
    stored: dict[str, StoredModel] = field(default_factory=dict)
    running: dict[str, RunningModel] = field(default_factory=dict)
    contexts: dict[str, int] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    transitions: Counter[tuple[ReadinessState, ReadinessState]] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    reloads: Counter[str] = field(default_factory=Counter)
    checks: int = 0
    check_seconds: float = 0.0
    last_check: float | None = None
    unpinned: int = 0
    warmup_prompts: int = 0
    warmup_refused: int = 0
    restored_slots: int = 0

    @classmethod
    def begin(cls, started: float, models: tuple[ModelSpec, ...]) -> "Observed":
        """Return what is known at the agent's start: which models are wanted."""
        return cls(started, models, Waterfall.started(started))

    def num_ctx(self, spec: ModelSpec) -> int | None:
        """Return the context (tokens) that each load asks for; None lets Ollama choose."""
        return spec.num_ctx if spec.num_ctx is not None else self.contexts.get(spec.name)

    def embeds(self, spec: ModelSpec) -> bool:
        """Whether a model can embed but not generate."""
        return spec.name in self.stored and self.stored[spec.name].embeds_only

    def keep_contexts(self) -> None:
        """Keep the contexts that Ollama gave to models whose context nobody chose."""
        for spec in self.models:
            given = self.running[spec.name].context_length
            if self.num_ctx(spec) is None and given is not None:
                self.contexts[spec.name] = given

    def names(self) -> str:
        """Return all wanted models as they are configured."""
        return ", ".join(map(str, self.models))

    def mark(self, phase: Phase, at: float, *, loaded_bytes: int = 0) -> None:
        """Note a milestone of the cold start."""
        self.waterfall = self.waterfall.mark(phase, at, loaded_bytes=loaded_bytes)
