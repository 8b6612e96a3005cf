"""What everyone else reads of the agent's readiness: one frozen snapshot, taken by the controller."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from probe_agent.ollama.types import RunningModel, StoredModel
from probe_agent.readiness.cold_start import Waterfall
from probe_agent.readiness.states import ReadinessState
from probe_agent.sources.progress import ProgressSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """One wanted model: its configured name, the context that is asked for (tokens), and what Ollama shows of it."""

    name: str
    num_ctx: int | None
    stored: StoredModel | None
    running: RunningModel | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessView:
    """The agent's knowledge at one instant. Times are seconds of the agent's monotonic clock, `now` its reading.

    `startup_passed` is true from the first READY on. `settled` is true once nothing more is to be waited for: the
    startup has passed, or never will. `alive` says whether the agent itself makes progress, whatever Ollama does.
    """

    state: ReadinessState
    reason: str
    action: str
    since: float
    epoch: int
    startup_passed: bool
    ready: bool
    settled: bool
    alive: bool
    now: float
    started: float
    startup_hold_seconds: float
    ollama_url: str
    ollama_version: str | None
    models: tuple[ModelView, ...]
    waterfall: Waterfall
    source_name: str | None
    source_progress: ProgressSnapshot | None
    failures_in_a_row: int
    last_check: float | None
    transitions: Mapping[tuple[ReadinessState, ReadinessState], int]
    failures: Mapping[str, int]
    reloads: Mapping[str, int]
    checks: int
    check_seconds: float
    unpinned: int
    warmup_prompts: int
    warmup_refused: int
    restored_slots: int


class Views(Protocol):
    """Where views come from: the controller, or a test's own."""

    def view(self) -> ReadinessView:
        """Return a snapshot of this instant."""
        ...

    async def settled(self) -> None:
        """Return once a view is `settled`."""
        ...
