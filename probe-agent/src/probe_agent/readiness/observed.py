"""What has been seen so far: written by the supervisor and its steps, read by the routes and the metrics."""

from collections import Counter
from dataclasses import dataclass, field, replace

from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel
from probe_agent.readiness.cold_start import Phase, Waterfall
from probe_agent.readiness.states import ReadinessState


@dataclass(slots=True)
class Observed:
    """Facts and counts of one instance's life; models by their configured name, times in monotonic seconds."""

    started: float
    pins: tuple[ModelSpec, ...]
    waterfall: Waterfall
    ollama_version: str | None = None
    stored: dict[str, StoredModel] = field(default_factory=dict)
    resident: dict[str, RunningModel] = field(default_factory=dict)
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
        """Begin at the agent's own start, with what the operator wants served."""
        return cls(started, models, Waterfall.started(started))

    def pin_observed(self) -> None:
        """Pin, for models whose context nobody chose, the one that they were proven with."""
        self.pins = tuple(
            replace(pin, num_ctx=self.resident[pin.name].context_length) if pin.num_ctx is None else pin
            for pin in self.pins
        )

    def mark(self, phase: Phase, at: float, *, loaded_bytes: int = 0) -> None:
        """Note a milestone of the cold start."""
        self.waterfall = self.waterfall.mark(phase, at, loaded_bytes=loaded_bytes)
