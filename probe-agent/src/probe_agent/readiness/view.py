"""What everyone else reads of the agent's readiness: one frozen snapshot, taken by the controller."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from probe_agent.ollama.types import RunningModel, StoredModel
from probe_agent.readiness.cold_start import Waterfall
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.states import Readiness, ReadinessState
from probe_agent.settings import Settings
from probe_agent.sources.fetch import Source
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


def view_of(
    readiness: Readiness,
    observed: Observed,
    settings: Settings,
    source: Source | None,
    *,
    alive: bool,
    now: float,
    failures_in_a_row: int,
) -> ReadinessView:
    """Copy what the controller holds at this instant."""
    return ReadinessView(
        state=readiness.state,
        reason=readiness.reason,
        action=readiness.action,
        since=readiness.since,
        epoch=readiness.epoch,
        startup_passed=readiness.startup_passed,
        ready=readiness.ready,
        settled=readiness.startup_passed or readiness.terminal,
        alive=alive,
        now=now,
        started=observed.started,
        startup_hold_seconds=settings.startup_hold_seconds,
        ollama_url=settings.ollama_url,
        ollama_version=observed.ollama_version,
        models=tuple(
            ModelView(
                name=spec.name,
                num_ctx=observed.num_ctx(spec),
                stored=observed.stored.get(spec.name),
                running=observed.running.get(spec.name),
            )
            for spec in observed.models
        ),
        waterfall=observed.waterfall,
        source_name=source.name if source else None,
        source_progress=source.progress.snapshot() if source else None,
        failures_in_a_row=failures_in_a_row,
        last_check=observed.last_check,
        transitions=dict(observed.transitions),
        failures=dict(observed.failures),
        reloads=dict(observed.reloads),
        checks=observed.checks,
        check_seconds=observed.check_seconds,
        unpinned=observed.unpinned,
        warmup_prompts=observed.warmup_prompts,
        warmup_refused=observed.warmup_refused,
        restored_slots=observed.restored_slots,
    )
