"""The state machine: its table, its epochs, its proofs, and any sequence of observations."""

import inspect
from dataclasses import FrozenInstanceError, astuple, replace
from itertools import product

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from probe_agent.errors import IllegalTransition
from probe_agent.readiness import states as module
from probe_agent.readiness.states import (
    LOST,
    TRANSITIONS,
    AgentFault,
    ContextDrifted,
    ContextUnattainable,
    DigestMismatch,
    FetchFailed,
    FetchStarted,
    LoadFailed,
    ModelAbsent,
    ModelDamaged,
    ModelEvicted,
    ModelFetched,
    ModelLoaded,
    ModelVerified,
    Observation,
    OffloadedToCpu,
    Proof,
    Readiness,
    ReadinessState,
    RefusedFormat,
    RunnerLost,
    ServerDown,
    ServerUp,
    StopRequested,
    WarmUpDone,
)

UNREACHABLE, VERIFYING, FETCHING, LOADING, WARMING, READY, FAILED, STOPPING = ReadinessState
TERMINAL = (FAILED, STOPPING)
KINDS = [
    kind
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, Observation) and kind is not Observation
]
PAIRS = list(product(ReadinessState, KINDS))
PROOF = Proof(model="smollm2", digest="9521" * 16, context_length=8192, memory_bytes=200, vram_bytes=0, tokens=1)
EPOCH = 3

Table = dict[tuple[ReadinessState, type[Observation]], ReadinessState]
# The rows of the design.
DESIGNED: Table = {
    (UNREACHABLE, ServerUp): VERIFYING,
    (VERIFYING, ModelVerified): LOADING,
    (VERIFYING, FetchStarted): FETCHING,
    (FETCHING, ModelFetched): VERIFYING,
    (LOADING, ModelLoaded): WARMING,
    (WARMING, WarmUpDone): READY,
    (READY, ModelEvicted): LOADING,
    (READY, ContextDrifted): LOADING,
    (READY, RunnerLost): LOADING,
    (READY, OffloadedToCpu): LOADING,
    **{(state, ServerDown): UNREACHABLE for state in ReadinessState if state not in TERMINAL},
    **{
        (state, kind): FAILED
        for state in ReadinessState
        if state not in TERMINAL
        for kind in (ContextUnattainable, DigestMismatch, ModelDamaged, RefusedFormat)
    },
    **{(state, StopRequested): STOPPING for state in ReadinessState},
}
# What the design leaves open: where a step that fails on the way up leads.
ADDED: Table = {
    (VERIFYING, ModelAbsent): VERIFYING,
    (FETCHING, FetchFailed): FETCHING,
    (LOADING, ModelAbsent): VERIFYING,
    (LOADING, LoadFailed): LOADING,
    (WARMING, LoadFailed): LOADING,
    **{(state, kind): LOADING for state in (LOADING, WARMING) for kind in LOST},
    **{(state, AgentFault): FAILED for state in ReadinessState if state not in TERMINAL},
}
# The straight way to READY.
UPWARDS = {
    UNREACHABLE: ServerUp,
    VERIFYING: ModelVerified,
    FETCHING: ModelFetched,
    LOADING: ModelLoaded,
    WARMING: WarmUpDone,
}


def seen(kind: type[Observation], epoch: int = EPOCH, proofs: tuple[Proof, ...] = (PROOF,)) -> Observation:
    """Return an observation of any kind; epoch and proofs go to the kinds that carry them."""
    reason = f"{kind.__name__} was seen"
    if kind is ModelLoaded:
        return ModelLoaded(reason=reason, epoch=epoch, proofs=proofs)
    if kind is WarmUpDone:
        return WarmUpDone(reason=reason, epoch=epoch)
    if kind is ContextDrifted:
        return ContextDrifted(reason=reason, model="smollm2", observed=4096)
    return kind(reason=reason)


def standing_in(state: ReadinessState, **changes: object) -> Readiness:
    """Return a readiness that has come to `state` at second 1, in epoch 3."""
    proofs = (PROOF,) if state in (WARMING, READY) else ()
    at = Readiness(state=state, reason="before", action="wait", since=1.0, epoch=EPOCH, proofs=proofs)
    return replace(at, latched=state is READY, **changes)  # type: ignore[arg-type]  # each test knows its field


def climbed_to(state: ReadinessState) -> Readiness:
    """Return a readiness that went the straight way from the start to `state`."""
    now = Readiness.initial("waiting", 0.0)
    while now.state is not state:
        now = now.after(seen(UPWARDS[now.state], now.epoch), 1.0)
    return now


def test_the_table_is_the_designed_one() -> None:
    """The transition table holds the rows of the design, the failures on the way up, and nothing else."""
    assert dict(TRANSITIONS) == DESIGNED | ADDED


@pytest.mark.parametrize(("state", "kind"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_a_legal_observation_leads_where_the_table_says(state: ReadinessState, kind: type[Observation]) -> None:
    """A known pair leads to the table's state and takes over the observation's reason and action."""
    after = standing_in(state).after(seen(kind), 2.0)

    assert after.state is (DESIGNED | ADDED)[state, kind]
    assert (after.reason, after.action) == (seen(kind).reason, seen(kind).action)


@pytest.mark.parametrize(("state", "kind"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_an_illegal_observation_changes_nothing(state: ReadinessState, kind: type[Observation]) -> None:
    """An unknown pair raises, names both, and changes nothing."""
    before = standing_in(state)
    contents = astuple(before)

    with pytest.raises(IllegalTransition, match=f"{kind.__name__} is not known in {state}"):
        before.after(seen(kind), 2.0)
    assert astuple(before) == contents


def test_a_bare_observation_is_illegal() -> None:
    """An observation of no known kind is illegal in every state."""
    for state in ReadinessState:
        with pytest.raises(IllegalTransition):
            standing_in(state).after(Observation(reason="something"), 2.0)


def test_the_table_cannot_be_changed() -> None:
    """The table is read-only."""
    with pytest.raises(TypeError):
        TRANSITIONS[READY, ServerUp] = READY  # type: ignore[index]  # that is what is tested


def test_a_readiness_cannot_be_changed() -> None:
    """A readiness is a value: nobody but `after` makes another one."""
    with pytest.raises(FrozenInstanceError):
        standing_in(LOADING).state = READY  # type: ignore[misc]  # that is what is tested


def test_the_beginning_knows_nothing() -> None:
    """At the start Ollama is unreachable, nothing is proven, and the reason is the caller's."""
    initial = Readiness.initial("waiting for Ollama", 7.0)

    assert (initial.state, initial.reason, initial.since) == (UNREACHABLE, "waiting for Ollama", 7.0)
    assert (initial.epoch, initial.proofs, initial.latched) == (0, (), False)
    assert initial.action


@pytest.mark.parametrize("state", ReadinessState)
def test_only_ready_is_ready(state: ReadinessState) -> None:
    """Readiness is true in READY alone, and only FAILED and STOPPING are terminal."""
    assert standing_in(state).ready is (state is READY)
    assert standing_in(state).terminal is (state in TERMINAL)


def test_the_straight_way_leads_to_ready() -> None:
    """Server up, model verified, loaded and warmed: ready, in the first epoch, with its proof, latched."""
    ready = climbed_to(READY)

    assert (ready.epoch, ready.proofs, ready.latched) == (1, (PROOF,), True)


@pytest.mark.parametrize(("state", "kind"), [pair for pair, target in TRANSITIONS.items() if target is LOADING])
def test_every_load_begins_an_epoch(state: ReadinessState, kind: type[Observation]) -> None:
    """Whatever leads to LOADING, out of LOADING itself too, begins an epoch and voids the proofs."""
    after = standing_in(state).after(seen(kind), 2.0)

    assert (after.epoch, after.proofs) == (EPOCH + 1, ())


@pytest.mark.parametrize(("state", "kind"), [pair for pair, target in TRANSITIONS.items() if target is not LOADING])
def test_nothing_else_begins_an_epoch(state: ReadinessState, kind: type[Observation]) -> None:
    """A transition that does not lead to LOADING leaves the epoch as it is, and keeps proofs on the last steps only."""
    after = standing_in(state).after(seen(kind), 2.0)

    assert after.epoch == EPOCH
    assert after.proofs == ((PROOF,) if after.state in (WARMING, READY) else ())


@pytest.mark.parametrize(("state", "kind"), list(TRANSITIONS))
def test_since_is_when_the_state_began(state: ReadinessState, kind: type[Observation]) -> None:
    """`since` is the time of the last change of state: an observation that leaves the state leaves it too."""
    after = standing_in(state).after(seen(kind), 2.0)

    assert after.since == (1.0 if after.state is state else 2.0)


@pytest.mark.parametrize(("state", "kind"), list(TRANSITIONS))
def test_the_latch_never_falls(state: ReadinessState, kind: type[Observation]) -> None:
    """Once READY was reached, no transition takes the startup probe's latch away; before, only READY sets it."""
    for latched in (True, False):
        after = replace(standing_in(state), latched=latched).after(seen(kind), 2.0)
        assert after.latched is (latched or after.state is READY)


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
@pytest.mark.parametrize(("state", "kind"), [(LOADING, ModelLoaded), (WARMING, WarmUpDone)])
def test_a_proof_of_another_epoch_is_refused(state: ReadinessState, kind: type[Observation], epoch: int) -> None:
    """A load or a warm-up of another epoch proves nothing now."""
    before = standing_in(state)
    contents = astuple(before)

    with pytest.raises(IllegalTransition, match=f"epoch {epoch} offered in epoch {EPOCH}"):
        before.after(seen(kind, epoch), 2.0)
    assert astuple(before) == contents


@pytest.mark.parametrize(
    "proofs",
    [(), (replace(PROOF, tokens=0),), (PROOF, replace(PROOF, model="other", tokens=0))],
    ids=["none", "no token", "one of two without a token"],
)
def test_no_model_passes_without_a_token(proofs: tuple[Proof, ...]) -> None:
    """A load without a generated token of every model is no proof, neither at the load nor at the warm-up."""
    loading, warming = standing_in(LOADING), standing_in(WARMING, proofs=proofs)

    with pytest.raises(IllegalTransition, match="without having generated a token"):
        loading.after(seen(ModelLoaded, proofs=proofs), 2.0)
    with pytest.raises(IllegalTransition, match="without having generated a token"):
        warming.after(seen(WarmUpDone), 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_explained(kind: type[Observation]) -> None:
    """Every kind of observation has a docstring, a default action, and a row in the table."""
    assert kind.__doc__
    assert seen(kind).action
    assert any(known is kind for _, known in TRANSITIONS)


def test_every_state_can_be_left_or_is_terminal() -> None:
    """Each state but STOPPING can be left, and each but the first can be reached."""
    for state in ReadinessState:
        targets = {target for (source, _), target in TRANSITIONS.items() if source is state}
        assert state is STOPPING or targets - {state}
        assert state in TRANSITIONS.values()


class AnySequence(RuleBasedStateMachine):
    """Any sequence of observations, legal and illegal, with right and wrong epochs, with and without tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.readiness = Readiness.initial("waiting", self.now)
        self.was_ready = False
        self.proven: dict[int, tuple[Proof, ...]] = {}

    @rule(kind=st.sampled_from(KINDS))
    def observe_anything(self, kind: type[Observation]) -> None:
        """Anything may be seen, also what makes no sense."""
        self._observe(seen(kind, self.readiness.epoch))

    @rule(
        kind=st.sampled_from([ModelLoaded, WarmUpDone]),
        drift=st.integers(-1, 1),
        tokens=st.lists(st.integers(0, 2), max_size=2),
    )
    def claim(self, kind: type[Observation], drift: int, tokens: list[int]) -> None:
        """A load or a warm-up is claimed: of this epoch or another one, with tokens or without."""
        proofs = tuple(replace(PROOF, tokens=count) for count in tokens)
        self._observe(seen(kind, self.readiness.epoch + drift, proofs))

    @rule(data=st.data())
    def observe_something_known(self, data: st.DataObject) -> None:
        """Something that the present state knows is seen, and life goes on after it."""
        here = self.readiness.state
        kinds = [kind for (state, kind), target in TRANSITIONS.items() if state is here and target not in TERMINAL]
        if kinds:
            self._observe(seen(data.draw(st.sampled_from(kinds)), self.readiness.epoch))

    @rule()
    def climb(self) -> None:
        """All goes well, for one step."""
        if kind := UPWARDS.get(self.readiness.state):
            self._observe(seen(kind, self.readiness.epoch))

    def _observe(self, observation: Observation) -> None:
        before, contents = self.readiness, astuple(self.readiness)
        self.now += 1.0
        try:
            after = before.after(observation, self.now)
        except IllegalTransition:
            assert astuple(before) == contents
            return
        assert TRANSITIONS[before.state, type(observation)] is after.state
        assert after.terminal or not before.terminal
        assert after.epoch >= before.epoch
        assert before.since <= after.since <= self.now
        if isinstance(observation, ModelLoaded):
            self.proven[observation.epoch] = observation.proofs
        self.readiness = after
        self.was_ready = self.was_ready or after.ready

    @invariant()
    def ready_is_proven_in_this_epoch(self) -> None:
        """READY stands on a proof of this very epoch, with at least one token of every model."""
        if self.readiness.ready:
            proofs = self.proven.get(self.readiness.epoch, ())
            assert proofs == self.readiness.proofs
            assert proofs
            assert all(proof.tokens >= 1 for proof in proofs)

    @invariant()
    def the_state_is_explainable(self) -> None:
        """A reason and an action stand beside every state."""
        assert self.readiness.reason
        assert self.readiness.action

    @invariant()
    def the_latch_remembers(self) -> None:
        """The latch is set exactly if READY was ever reached."""
        assert self.readiness.latched is self.was_ready

    @invariant()
    def only_the_last_steps_hold_proofs(self) -> None:
        """A proof is held in WARMING and READY, and nowhere else."""
        assert bool(self.readiness.proofs) is (self.readiness.state in (WARMING, READY))


SEARCH = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_any_sequence_leaves_a_legal_explainable_state() -> None:
    """No sequence of observations reaches READY without a proof, an illegal change, or a state without reason."""
    run_state_machine_as_test(AnySequence, settings=SEARCH)


def test_the_sequences_would_find_a_false_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random sequences do reach READY: without the check of proofs they find one that is not proven."""
    monkeypatch.setattr(Readiness, "_check_proof", lambda _self, _observation: None)
    search = settings(SEARCH, max_examples=500, derandomize=True, database=None, phases=[Phase.generate])

    with pytest.raises(AssertionError):
        run_state_machine_as_test(AnySequence, settings=search)
