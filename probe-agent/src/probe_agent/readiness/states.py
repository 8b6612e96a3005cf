"""The readiness state machine: everything that decides what a probe is told lives here.

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
    """Where the instance stands on its way to a model that answers."""

    UNREACHABLE = "UNREACHABLE"
    VERIFYING = "VERIFYING"
    FETCHING = "FETCHING"
    LOADING = "LOADING"
    WARMING = "WARMING"
    READY = "READY"
    FAILED = "FAILED"
    STOPPING = "STOPPING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Something seen of Ollama: `reason` says who and why, `action` what a person can do about it."""

    reason: str
    action: str = "Nothing: the agent goes on by itself."


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUp(Observation):
    """Ollama's API answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDown(Observation):
    """Ollama did not answer, as often in a row as the failure threshold allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVerified(Observation):
    """Every wanted model is in Ollama's store, with the expected digest and an accepted format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAbsent(Observation):
    """A wanted model is not in Ollama's store, and no source is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchStarted(Observation):
    """A source is configured, and has not yet delivered what is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFetched(Observation):
    """The source has delivered every wanted model, whole and checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchFailed(Observation):
    """The source did not deliver, in a way that another try may mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDamaged(Observation):
    """A blob of the model is not what its name says, fetched once more or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailed(Observation):
    """A load, or the proof that follows it, failed in a way that another try may mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was seen of one loaded model: its digest, its context, where it lies, and that it generates.

    Sizes are bytes. `tokens` counts what the model generated for the proof: at least 1 (an embedding model's
    vector counts as 1).
    """

    model: str
    digest: str
    context_length: int | None
    memory_bytes: int
    vram_bytes: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoaded(Observation):
    """The load of this epoch is complete and proven: one `Proof` for each model."""

    epoch: int
    proofs: tuple[Proof, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpDone(Observation):
    """The warm-up prompts of this epoch are answered, and what was proven still holds."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEvicted(Observation):
    """Ollama no longer lists a model that was loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextDrifted(Observation):
    """A model is loaded with another context length (`observed`, tokens) than the pinned one."""

    model: str
    observed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OffloadedToCpu(Observation):
    """A model that must lie in GPU memory lies, wholly or partly, outside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLost(Observation):
    """Ollama's API answers, but the process that runs the model does not; `silent`: nothing was said in time."""

    silent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextUnattainable(Observation):
    """The pinned context is longer than the one the model was trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestMismatch(Observation):
    """The stored model is not the expected one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFormat(Observation):
    """The stored model has a format that must not, or cannot, be served from this instance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFault(Observation):
    """The agent itself broke: a bug, told as one."""

    action: str = "Restart the instance, and report the traceback in the agent's log."


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRequested(Observation):
    """The platform asked the agent to stop."""


_UNMENDABLE = (ContextUnattainable, DigestMismatch, ModelDamaged, RefusedFormat, AgentFault)
# What ends READY while Ollama itself answers.
LOST = (ModelEvicted, ContextDrifted, OffloadedToCpu, RunnerLost)
_TERMINAL = (ReadinessState.FAILED, ReadinessState.STOPPING)
_S = ReadinessState


def _rows() -> dict[tuple[ReadinessState, type[Observation]], ReadinessState]:
    rows: dict[tuple[ReadinessState, type[Observation]], ReadinessState] = {
        (_S.UNREACHABLE, ServerUp): _S.VERIFYING,
        (_S.VERIFYING, ModelVerified): _S.LOADING,
        (_S.VERIFYING, ModelAbsent): _S.VERIFYING,
        (_S.VERIFYING, FetchStarted): _S.FETCHING,
        (_S.FETCHING, FetchFailed): _S.FETCHING,
        (_S.FETCHING, ModelFetched): _S.VERIFYING,
        (_S.LOADING, ModelAbsent): _S.VERIFYING,
        (_S.LOADING, LoadFailed): _S.LOADING,
        (_S.LOADING, ModelLoaded): _S.WARMING,
        (_S.WARMING, LoadFailed): _S.LOADING,
        (_S.WARMING, WarmUpDone): _S.READY,
    }
    for state in (_S.LOADING, _S.WARMING, _S.READY):
        rows |= {(state, lost): _S.LOADING for lost in LOST}
    for state in _S:
        if state not in _TERMINAL:
            rows[state, ServerDown] = _S.UNREACHABLE
            rows |= {(state, unmendable): _S.FAILED for unmendable in _UNMENDABLE}
        rows[state, StopRequested] = _S.STOPPING
    return rows


TRANSITIONS: Mapping[tuple[ReadinessState, type[Observation]], ReadinessState] = MappingProxyType(_rows())


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the agent holds to be true, and why. `since` is in seconds of the agent's monotonic clock.

    An *epoch* begins whenever a load must (again) be proven, and voids every older proof. `latched` is
    true from the first READY on: the startup probe never fails again.
    """

    state: ReadinessState
    reason: str
    action: str
    since: float
    epoch: int = 0
    proofs: tuple[Proof, ...] = ()
    latched: bool = False

    @classmethod
    def initial(cls, reason: str, now: float) -> "Readiness":
        """Nothing is known of Ollama yet."""
        return cls(state=_S.UNREACHABLE, reason=reason, action=Observation(reason=reason).action, since=now)

    @property
    def ready(self) -> bool:
        """Whether the model answers: true in READY alone."""
        return self.state is _S.READY

    @property
    def terminal(self) -> bool:
        """Whether no further observation of Ollama can change the state."""
        return self.state in _TERMINAL

    def after(self, observation: Observation, now: float) -> "Readiness":
        """Return what holds after `observation`, made at `now` (seconds, the same clock as `since`).

        Raises `IllegalTransition` when the present state does not know such an observation, or when it
        claims a proof that is missing or of another epoch.
        """
        target = TRANSITIONS.get((self.state, type(observation)))
        if target is None:
            raise IllegalTransition(f"{type(observation).__name__} is not known in {self.state}")
        self._check_proof(observation)
        return replace(
            self,
            state=target,
            reason=observation.reason,
            action=observation.action,
            since=self.since if target is self.state else now,
            epoch=self.epoch + 1 if target is _S.LOADING else self.epoch,
            proofs=self._proofs_after(observation, target),
            latched=self.latched or target is _S.READY,
        )

    def _check_proof(self, observation: Observation) -> None:
        if not isinstance(observation, ModelLoaded | WarmUpDone):
            return
        if observation.epoch != self.epoch:
            raise IllegalTransition(f"proof of epoch {observation.epoch} offered in epoch {self.epoch}")
        proofs = observation.proofs if isinstance(observation, ModelLoaded) else self.proofs
        if not proofs or any(proof.tokens < 1 for proof in proofs):
            raise IllegalTransition("no model is ready without having generated a token")

    def _proofs_after(self, observation: Observation, target: ReadinessState) -> tuple[Proof, ...]:
        if isinstance(observation, ModelLoaded):
            return observation.proofs
        return self.proofs if target in (_S.WARMING, _S.READY) else ()
