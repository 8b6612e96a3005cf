"""The state machine: its table, its epochs, and any sequence of observations."""

from dataclasses import FrozenInstanceError, astuple, replace
from itertools import product

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from probe_agent.errors import IllegalTransition
from probe_agent.readiness import states
from probe_agent.readiness.states import LOST, TRANSITIONS, Kind, Observation, Readiness, ReadinessState

UNREACHABLE, VERIFYING, FETCHING, LOADING, WARMING, READY, FAILED, STOPPING = ReadinessState
TERMINAL = (FAILED, STOPPING)
PAIRS = list(product(ReadinessState, Kind))
EPOCH = 3

Table = dict[tuple[ReadinessState, Kind], ReadinessState]
# The rows of the design.
DESIGNED: Table = {
    (UNREACHABLE, Kind.SERVER_UP): VERIFYING,
    (VERIFYING, Kind.MODEL_VERIFIED): LOADING,
    (VERIFYING, Kind.FETCH_STARTED): FETCHING,
    (FETCHING, Kind.MODEL_FETCHED): VERIFYING,
    (LOADING, Kind.MODEL_LOADED): WARMING,
    (WARMING, Kind.WARM_UP_DONE): READY,
    (READY, Kind.MODEL_EVICTED): LOADING,
    (READY, Kind.CONTEXT_DRIFTED): LOADING,
    (READY, Kind.RUNNER_LOST): LOADING,
    (READY, Kind.RUNNER_SILENT): LOADING,
    (READY, Kind.OFFLOADED_TO_CPU): LOADING,
    **{(state, Kind.SERVER_DOWN): UNREACHABLE for state in ReadinessState if state not in TERMINAL},
    **{
        (state, kind): FAILED
        for state in ReadinessState
        if state not in TERMINAL
        for kind in (Kind.CONTEXT_UNATTAINABLE, Kind.DIGEST_MISMATCH, Kind.MODEL_DAMAGED, Kind.REFUSED_FORMAT)
    },
    **{(state, Kind.STOP_REQUESTED): STOPPING for state in ReadinessState},
}
# What the design leaves open: where a step that fails on the way up leads.
ADDED: Table = {
    (VERIFYING, Kind.MODEL_ABSENT): VERIFYING,
    (FETCHING, Kind.FETCH_FAILED): FETCHING,
    (LOADING, Kind.MODEL_ABSENT): VERIFYING,
    (LOADING, Kind.LOAD_FAILED): LOADING,
    (WARMING, Kind.LOAD_FAILED): LOADING,
    **{(state, kind): LOADING for state in (LOADING, WARMING) for kind in LOST},
    **{(state, Kind.AGENT_FAULT): FAILED for state in ReadinessState if state not in TERMINAL},
}
# The straight way to READY.
UPWARDS = {
    UNREACHABLE: Kind.SERVER_UP,
    VERIFYING: Kind.MODEL_VERIFIED,
    FETCHING: Kind.MODEL_FETCHED,
    LOADING: Kind.MODEL_LOADED,
    WARMING: Kind.WARM_UP_DONE,
}


def seen(kind: Kind, tokens: tuple[int, ...] = (1,)) -> Observation:
    """Return an observation of any kind; only that of a load looks at the tokens."""
    return Observation(kind=kind, reason=f"{kind} was seen", tokens=tokens)


def standing_in(state: ReadinessState) -> Readiness:
    """Return a readiness that has come to `state` at second 1, in epoch 3."""
    return Readiness(state=state, reason="before", action="wait", since=1.0, epoch=EPOCH, startup_passed=state is READY)


def climbed_to(state: ReadinessState) -> Readiness:
    """Return a readiness that went the straight way from the start to `state`."""
    now = Readiness.initial("waiting", 0.0)
    while now.state is not state:
        now = now.after(seen(UPWARDS[now.state]), 1.0)
    return now


def test_the_table_is_the_designed_one() -> None:
    """The transition table holds the rows of the design, the failures on the way up, and nothing else."""
    assert dict(TRANSITIONS) == DESIGNED | ADDED


@pytest.mark.parametrize(("state", "kind"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_a_legal_observation_leads_where_the_table_says(state: ReadinessState, kind: Kind) -> None:
    """A known pair leads to the table's state and takes over the observation's reason and action."""
    after = standing_in(state).after(seen(kind), 2.0)

    assert after.state is (DESIGNED | ADDED)[state, kind]
    assert (after.reason, after.action) == (seen(kind).reason, seen(kind).action)


@pytest.mark.parametrize(("state", "kind"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_an_illegal_observation_changes_nothing(state: ReadinessState, kind: Kind) -> None:
    """An unknown pair raises, names both, and changes nothing."""
    before = standing_in(state)
    contents = astuple(before)

    with pytest.raises(IllegalTransition, match=f"{kind} is not known in {state}"):
        before.after(seen(kind), 2.0)
    assert astuple(before) == contents


def test_the_table_cannot_be_changed() -> None:
    """The table is read-only."""
    with pytest.raises(TypeError):
        TRANSITIONS[READY, Kind.SERVER_UP] = READY  # type: ignore[index]  # that is what is tested


def test_a_readiness_cannot_be_changed() -> None:
    """A readiness is a value: nobody but `after` makes another one."""
    with pytest.raises(FrozenInstanceError):
        standing_in(LOADING).state = READY  # type: ignore[misc]  # that is what is tested


def test_the_beginning_knows_nothing() -> None:
    """At the start Ollama is unreachable, nothing is proven, and the reason is the caller's."""
    initial = Readiness.initial("waiting for Ollama", 7.0)

    assert (initial.state, initial.reason, initial.since) == (UNREACHABLE, "waiting for Ollama", 7.0)
    assert (initial.epoch, initial.kind, initial.startup_passed) == (0, None, False)
    assert initial.action


@pytest.mark.parametrize("state", ReadinessState)
def test_only_ready_is_ready(state: ReadinessState) -> None:
    """Readiness is true in READY alone, and only FAILED and STOPPING are terminal."""
    assert standing_in(state).ready is (state is READY)
    assert standing_in(state).terminal is (state in TERMINAL)


def test_the_straight_way_leads_to_ready() -> None:
    """Server up, model verified, loaded and warmed: ready, in the first epoch, and the startup has passed."""
    ready = climbed_to(READY)

    assert (ready.epoch, ready.startup_passed) == (1, True)


@pytest.mark.parametrize(("state", "kind"), [pair for pair, target in TRANSITIONS.items() if target is LOADING])
def test_every_load_begins_an_epoch(state: ReadinessState, kind: Kind) -> None:
    """Whatever leads to LOADING, from LOADING itself too, begins an epoch."""
    assert standing_in(state).after(seen(kind), 2.0).epoch == EPOCH + 1


@pytest.mark.parametrize(("state", "kind"), [pair for pair, target in TRANSITIONS.items() if target is not LOADING])
def test_nothing_else_begins_an_epoch(state: ReadinessState, kind: Kind) -> None:
    """A transition that does not lead to LOADING leaves the epoch as it is."""
    assert standing_in(state).after(seen(kind), 2.0).epoch == EPOCH


@pytest.mark.parametrize(("state", "kind"), list(TRANSITIONS))
def test_since_is_when_the_state_began(state: ReadinessState, kind: Kind) -> None:
    """`since` is the time of the last change of state: an observation that leaves the state leaves it too."""
    after = standing_in(state).after(seen(kind), 2.0)

    assert after.since == (1.0 if after.state is state else 2.0)


@pytest.mark.parametrize(("state", "kind"), list(TRANSITIONS))
def test_a_passed_startup_stays_passed(state: ReadinessState, kind: Kind) -> None:
    """Once READY was reached, no transition takes that back; before, only READY lets the startup pass."""
    for passed in (True, False):
        after = replace(standing_in(state), startup_passed=passed).after(seen(kind), 2.0)
        assert after.startup_passed is (passed or after.state is READY)


@pytest.mark.parametrize("tokens", [(), (0,), (1, 0)], ids=["none", "no token", "one of two without a token"])
def test_no_model_passes_without_a_token(tokens: tuple[int, ...]) -> None:
    """A load without a generated token of every model is refused, and changes nothing."""
    before = standing_in(LOADING)
    contents = astuple(before)

    with pytest.raises(IllegalTransition, match="without having generated a token"):
        before.after(seen(Kind.MODEL_LOADED, tokens), 2.0)
    assert astuple(before) == contents


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_row(kind: Kind) -> None:
    """Every kind of observation has a row in the table, and a default action."""
    assert any(known is kind for _, known in TRANSITIONS)
    assert seen(kind).action


def test_every_state_can_be_left_or_is_terminal() -> None:
    """Each state but STOPPING can be left, and each but the first can be reached."""
    for state in ReadinessState:
        targets = {target for (source, _), target in TRANSITIONS.items() if source is state}
        assert state is STOPPING or targets - {state}
        assert state in TRANSITIONS.values()


class AnySequence(RuleBasedStateMachine):
    """Any sequence of observations, legal and illegal, with and without tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.readiness = Readiness.initial("waiting", self.now)
        self.was_ready = False
        self.proven_epoch = 0

    @rule(kind=st.sampled_from(Kind), tokens=st.lists(st.integers(0, 2), max_size=2))
    def observe_anything(self, kind: Kind, tokens: list[int]) -> None:
        """Anything may be seen, also what makes no sense."""
        self._observe(seen(kind, tuple(tokens)))

    @rule(data=st.data())
    def observe_something_known(self, data: st.DataObject) -> None:
        """Something that the present state knows is seen, and life goes on after it."""
        here = self.readiness.state
        kinds = [kind for (state, kind), target in TRANSITIONS.items() if state is here and target not in TERMINAL]
        if kinds:
            self._observe(seen(data.draw(st.sampled_from(kinds))))

    @rule()
    def climb(self) -> None:
        """All goes well, for one step."""
        if kind := UPWARDS.get(self.readiness.state):
            self._observe(seen(kind))

    @rule()
    def claim_a_load_without_tokens(self) -> None:
        """A load is claimed that generated nothing."""
        self._observe(seen(Kind.MODEL_LOADED, ()))

    def _observe(self, observation: Observation) -> None:
        before, contents = self.readiness, astuple(self.readiness)
        self.now += 1.0
        try:
            after = before.after(observation, self.now)
        except IllegalTransition:
            assert astuple(before) == contents
            return
        assert TRANSITIONS[before.state, observation.kind] is after.state
        assert after.terminal or not before.terminal
        assert after.epoch >= before.epoch
        assert before.since <= after.since <= self.now
        if observation.kind is Kind.MODEL_LOADED and observation.tokens and all(observation.tokens):
            self.proven_epoch = before.epoch
        self.readiness = after
        self.was_ready = self.was_ready or after.ready

    @invariant()
    def ready_is_proven_in_this_epoch(self) -> None:
        """READY stands on a load of this very epoch, with at least one token of every model."""
        if self.readiness.ready:
            assert self.proven_epoch == self.readiness.epoch > 0

    @invariant()
    def the_state_is_explainable(self) -> None:
        """A reason and an action stand beside every state."""
        assert self.readiness.reason
        assert self.readiness.action

    @invariant()
    def a_passed_startup_is_remembered(self) -> None:
        """The startup has passed exactly if READY was ever reached."""
        assert self.readiness.startup_passed is self.was_ready


SEARCH = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_any_sequence_leaves_a_legal_explainable_state() -> None:
    """No sequence of observations reaches READY without a proof, an illegal change, or a state without reason."""
    run_state_machine_as_test(AnySequence, settings=SEARCH)


def test_the_sequences_would_find_a_false_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """The random sequences do reach READY: without the check of tokens they find one that is not proven."""
    monkeypatch.setattr(states, "min", lambda *_, **__: 1, raising=False)
    search = settings(SEARCH, max_examples=500, derandomize=True, database=None, phases=[Phase.generate])

    with pytest.raises(AssertionError):
        run_state_machine_as_test(AnySequence, settings=search)
