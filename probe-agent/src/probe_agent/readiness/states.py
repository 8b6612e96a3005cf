"""The readiness state machine: everything that decides what a probe answers lives here.

Pure: no I/O, no clock, standard library only. `Readiness` is a value; `Readiness.after` makes the next one
from an observation, or raises `IllegalTransition` and changes nothing. The diagram in `docs/` is made
from `TRANSITIONS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from probe_agent.errors import IllegalTransition


class ReadinessState(StrEnum):
    """Where the instance stands between its start and a model that answers."""

    UNREACHABLE = "UNREACHABLE"
    VERIFYING = "VERIFYING"
    FETCHING = "FETCHING"
    LOADING = "LOADING"
    WARMING = "WARMING"
    READY = "READY"
    FAILED = "FAILED"
    STOPPING = "STOPPING"


class Kind(StrEnum):
    """What can be observed. The values are also the causes in the metric of reloads."""

    # Ollama's API answers.
    SERVER_UP = "ServerUp"
    # Ollama did not answer, as many times in a row as the failure threshold says.
    SERVER_DOWN = "ServerDown"
    # Every wanted model is in Ollama's store, with the expected digest and an accepted format.
    MODEL_VERIFIED = "ModelVerified"
    # A wanted model is not in Ollama's store.
    MODEL_ABSENT = "ModelAbsent"
    # A source is configured and has not delivered every model yet.
    FETCH_STARTED = "FetchStarted"
    # The source has delivered every wanted model, whole and checked.
    MODEL_FETCHED = "ModelFetched"
    # The source failed in a way that another try may mend.
    FETCH_FAILED = "FetchFailed"
    # A blob of the model has other content than its name says, even when fetched once more.
    MODEL_DAMAGED = "ModelDamaged"
    # A load, its proof or the warm-up failed in a way that another try may mend.
    LOAD_FAILED = "LoadFailed"
    # Every model is loaded as wanted and has generated.
    MODEL_LOADED = "ModelLoaded"
    # The warm-up prompts are answered, and every model is still loaded as wanted.
    WARM_UP_DONE = "WarmUpDone"
    # Ollama no longer lists a model that was loaded, or lists another one under its name.
    MODEL_EVICTED = "ModelEvicted"
    # A model is loaded with another context length than the pinned one.
    CONTEXT_DRIFTED = "ContextDrifted"
    # A model that must lie in GPU memory lies, wholly or partly, outside it.
    OFFLOADED_TO_CPU = "OffloadedToCpu"
    # Ollama's API answers, but the process that runs the model died or refuses.
    RUNNER_LOST = "RunnerLost"
    # Ollama's API answers, but questions about the runner get no answer in time.
    RUNNER_SILENT = "RunnerSilent"
    # The pinned context is one that the model or this Ollama does not give.
    CONTEXT_UNATTAINABLE = "ContextUnattainable"
    # The stored or loaded model is not the expected one.
    DIGEST_MISMATCH = "DigestMismatch"
    # The stored model has a format that this instance must not, or cannot, serve.
    REFUSED_FORMAT = "RefusedFormat"
    # The agent itself has a bug.
    AGENT_FAULT = "AgentFault"
    # The platform asked the agent to stop.
    STOP_REQUESTED = "StopRequested"


# The action where there is nothing to do.
GOES_ON = "Nothing: the agent goes on by itself."


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something observed: `reason` says who and why, `action` what a person can do about it.

    `model` names the model where it is about one. `tokens` goes with MODEL_LOADED: how many tokens each model
    generated (an embedding model's vector counts as one).
    """

    kind: Kind
    reason: str
    action: str = GOES_ON
    model: str = ""
    tokens: tuple[int, ...] = ()


# Another try cannot mend these.
UNMENDABLE = frozenset(
    {
        Kind.CONTEXT_UNATTAINABLE,
        Kind.DIGEST_MISMATCH,
        Kind.MODEL_DAMAGED,
        Kind.REFUSED_FORMAT,
        Kind.AGENT_FAULT,
    }
)
# These end READY while Ollama itself answers.
LOST = frozenset(
    {Kind.MODEL_EVICTED, Kind.CONTEXT_DRIFTED, Kind.OFFLOADED_TO_CPU, Kind.RUNNER_LOST, Kind.RUNNER_SILENT}
)
_S = ReadinessState
_TERMINAL = (_S.FAILED, _S.STOPPING)


def _rows() -> dict[tuple[ReadinessState, Kind], ReadinessState]:
    rows: dict[tuple[ReadinessState, Kind], ReadinessState] = {
        (_S.UNREACHABLE, Kind.SERVER_UP): _S.VERIFYING,
        (_S.VERIFYING, Kind.MODEL_VERIFIED): _S.LOADING,
        (_S.VERIFYING, Kind.MODEL_ABSENT): _S.VERIFYING,
        (_S.VERIFYING, Kind.FETCH_STARTED): _S.FETCHING,
        (_S.FETCHING, Kind.FETCH_FAILED): _S.FETCHING,
        (_S.FETCHING, Kind.MODEL_FETCHED): _S.VERIFYING,
        (_S.LOADING, Kind.MODEL_ABSENT): _S.VERIFYING,
        (_S.LOADING, Kind.LOAD_FAILED): _S.LOADING,
        (_S.LOADING, Kind.MODEL_LOADED): _S.WARMING,
        (_S.WARMING, Kind.LOAD_FAILED): _S.LOADING,
        (_S.WARMING, Kind.WARM_UP_DONE): _S.READY,
    }
    for state in (_S.LOADING, _S.WARMING, _S.READY):
        rows |= {(state, kind): _S.LOADING for kind in Kind if kind in LOST}
    for state in _S:
        if state not in _TERMINAL:
            rows[state, Kind.SERVER_DOWN] = _S.UNREACHABLE
            rows |= {(state, kind): _S.FAILED for kind in Kind if kind in UNMENDABLE}
        rows[state, Kind.STOP_REQUESTED] = _S.STOPPING
    return rows


TRANSITIONS: Mapping[tuple[ReadinessState, Kind], ReadinessState] = MappingProxyType(_rows())


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The present state, and why. `since` is in seconds of the agent's monotonic clock.

    `kind` is that of the last observation. `epoch` counts the loads that had to be proven: it grows whenever LOADING
    begins (again). `startup_passed` is true from the first READY on: the startup probe never fails again.
    """

    state: ReadinessState
    reason: str
    action: str
    since: float
    kind: Kind | None = None
    epoch: int = 0
    startup_passed: bool = False

    @classmethod
    def initial(cls, reason: str, now: float) -> "Readiness":
        """Return the state at the agent's start: nothing is known of Ollama yet."""
        return cls(state=_S.UNREACHABLE, reason=reason, action=GOES_ON, since=now)

    @property
    def ready(self) -> bool:
        """Whether the model answers: true in READY alone."""
        return self.state is _S.READY

    @property
    def terminal(self) -> bool:
        """Whether no further observation of Ollama can change the state."""
        return self.state in _TERMINAL

    def after(self, observation: Observation, now: float) -> "Readiness":
        """Return the state after `observation`, made at `now` (seconds, the same clock as `since`).

        Raises `IllegalTransition` when the present state does not know such an observation, or when a load is
        reported without a generated token of every model.
        """
        target = TRANSITIONS.get((self.state, observation.kind))
        if target is None:
            raise IllegalTransition(f"{observation.kind} is not known in {self.state}")
        if observation.kind is Kind.MODEL_LOADED and min(observation.tokens, default=0) < 1:
            raise IllegalTransition("no model is ready without having generated a token")
        return replace(
            self,
            state=target,
            reason=observation.reason,
            action=observation.action,
            since=self.since if target is self.state else now,
            kind=observation.kind,
            epoch=self.epoch + 1 if target is _S.LOADING else self.epoch,
            startup_passed=self.startup_passed or target is _S.READY,
        )
