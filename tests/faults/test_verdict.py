"""What a soak is judged by, without a soak."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from random import Random

import pytest
import yaml

from lab.faults import verdict as judging
from lab.faults.cells import HARMLESS, KINDS, THE_RUNNERS, Fault
from lab.faults.clients import Threshold
from lab.faults.pace import QUICK, SERVICE, Gate, faults, shipped
from lab.faults.verdict import Event, Probed, Share, Verdict, verdict

PROMISE = 2.5
HUNG = Event(Fault.HANG, began=10.0, over=20.0, mended=20.1, back=0.5)
KILLED = Event(Fault.RUNNER_KILLED, began=10.0, over=20.0, mended=20.1, back=0.5, noticed=1.2)
CLEAN = Verdict(judged=20, lies=0, unloaded=0, never_back=0, dead=0)
ONCE = Gate("/readyz", period=1, timeout=1, failure_threshold=1, success_threshold=1)


def probes(*, ready_until: float, delay: float = 0.0, live: bool = True) -> list[Probed]:
    """A round each second for half a minute; readiness passes before an instant, and from the twenty-first on."""
    return [
        Probed(float(at), at <= ready_until or at > 20, live, open=True, let_in=at <= ready_until + 1, delay=delay)
        for at in range(30)
    ]


def test_an_agent_that_keeps_its_promise_is_judged_and_does_not_lie() -> None:
    """Passing until the promise is over is no lie."""
    assert verdict([HUNG], probes(ready_until=12), PROMISE) == replace(CLEAN, judged=1)


def test_each_probe_that_passed_later_than_promised_is_a_lie() -> None:
    """The promise has two and a half seconds, the allowance half a one: the fourth is too late."""
    assert verdict([HUNG], probes(ready_until=14), PROMISE).lies == 1
    assert verdict([HUNG], probes(ready_until=99), PROMISE).lies == 6


def test_what_the_machine_made_probes_late_by_is_allowed() -> None:
    """An endpoint that always answers took 1.2 s: so much longer the agent may take."""
    assert verdict([HUNG], probes(ready_until=14, delay=1.2), PROMISE).lies == 0


def test_a_fault_that_was_shorter_than_the_promise_is_not_judged() -> None:
    """No probe was asked when a lie could have been told."""
    assert verdict([replace(HUNG, over=12.9)], probes(ready_until=99), PROMISE).judged == 0


@pytest.mark.parametrize("fault", sorted(HARMLESS))
def test_a_fault_with_which_the_model_serves_is_not_judged(fault: Fault) -> None:
    """READY is true then."""
    found = verdict([replace(HUNG, fault=fault)], probes(ready_until=99), PROMISE)
    assert (found.judged, found.lies) == (0, 0)


@pytest.mark.parametrize("fault", sorted(THE_RUNNERS))
def test_a_lost_runner_is_noticed_in_time(fault: Fault) -> None:
    """It may be back soon, so what counts is that the agent was seen not ready; never, and too late, are lies."""
    found = [
        verdict([replace(KILLED, fault=fault, noticed=noticed)], probes(ready_until=99), PROMISE)
        for noticed in (1.2, 3.1, None)
    ]
    assert [each.lies for each in found] == [0, 1, 1]
    assert {each.judged for each in found} == {1}


def test_a_fault_tells_what_came_of_it() -> None:
    """In one line, with what is wrong at its end."""
    assert str(KILLED) == "runner killed for 10.0 s, noticed after 1.2 s, READY 0.5 s after it"
    assert str(replace(HUNG, back=None)) == "hang for 10.0 s, never READY again"
    assert str(replace(HUNG, listed=False)).endswith("READY 0.5 s after it, and no model was loaded")


def test_ready_without_a_loaded_model_is_counted() -> None:
    """Whatever a client's request mends a moment later."""
    assert verdict([replace(HUNG, listed=False)], probes(ready_until=12), PROMISE).unloaded == 1


def test_liveness_may_fail_only_while_the_agent_is_stuck() -> None:
    """Without a free file descriptor it cannot accept a probe."""
    dead = probes(ready_until=99, live=False)
    assert verdict([], dead, PROMISE).dead == 30
    assert verdict([replace(HUNG, fault=Fault.EMFILE, began=0.0, mended=30.0)], dead, PROMISE).dead == 0


def test_how_long_traffic_goes_on_is_told_of_faults_that_ended_it() -> None:
    """A fault that was over before is left out."""
    short = replace(HUNG, over=11.5)
    assert judging.still_let_in([HUNG, short], probes(ready_until=12)) == [3.0]


def test_in_vain_is_what_the_other_client_was_answered() -> None:
    """Of four instants: both sent, held back in vain, held back with reason, neither sent."""
    assert judging.in_vain(obeys={1: True}, tcp={1: True, 2: True, 3: False}) == 1


@pytest.mark.parametrize(
    ("found", "failed", "in_vain", "missed"),
    [
        (CLEAN, 0.54, 0.2, []),
        (CLEAN, 0.99, 0.0, [judging.FAILED]),  # never falls
        (CLEAN, 0.21, 0.46, [judging.IN_VAIN]),  # falls for everything
        (replace(CLEAN, judged=15), 0.54, 0.2, [judging.UNSEEN]),
    ],
    ids=["as it should be", "lazy", "paranoid", "nothing to be seen"],
)
def test_the_lazy_and_the_paranoid_miss_a_target(
    found: Verdict, failed: float, in_vain: float, missed: list[str]
) -> None:
    """Neither never nor always not ready is good, and a soak in which no lie could be seen is none."""
    targets = judging.targets(found, 40, Share(failed, QUICK.failed_share), in_vain)
    assert [target.claim for target in targets if not target.met] == missed


def test_of_few_faults_no_share_is_judged_and_that_is_said() -> None:
    """Lies are, however few."""
    few = judging.ENOUGH - 1
    assert not any(target.limit for target in judging.targets(CLEAN, few, Share(1.0, 0.75), 1.0))
    assert set(judging.too_few(few)) == {judging.FAILED, judging.IN_VAIN, judging.UNSEEN}
    assert not judging.too_few(judging.ENOUGH)


def test_at_least_half_of_the_faults_can_be_judged() -> None:
    """Three in four faults break what serves, and most of these last longer than what is promised."""
    harmful = sum(not HARMLESS.issuperset(kind) for kind in KINDS) / len(KINDS)
    for pace in (QUICK, shipped(SERVICE.read_text())):
        least, most = pace.fault_seconds
        assert harmful * (most - pace.promise - 2) / (most - least) > 1 - judging.HARMLESS_SHARE


def test_every_fault_comes_and_each_group_as_often() -> None:
    """Within four turns each group was there once; none is left out for long."""
    drawn = [*islice(faults(Random(7)), 4 * 9)]  # noqa: S311 — no secret
    assert set(drawn) == set(Fault)
    for turn in range(0, len(drawn), 4):
        assert all(len(set(kind) & set(drawn[turn : turn + 4])) == 1 for kind in KINDS)


def test_a_probe_with_thresholds_falls_and_rises_as_it_is_told() -> None:
    """One failure is forgiven, two are not; it is asked once a period, whatever comes between."""
    threshold = Threshold(Gate("/ready", period=5, timeout=2, failure_threshold=2, success_threshold=2))
    said = [(0, True), (5, True), (10, False), (12, False), (15, True), (20, False), (25, False), (30, True)]
    assert [threshold.take(at, ready=ready) for at, ready in said] == [False, *[True] * 5, False, False]


def test_without_thresholds_the_gate_is_the_last_probe() -> None:
    """Rounds that are a little less than a period apart are all asked."""
    threshold = Threshold(ONCE)
    assert [threshold.take(at * 0.99, ready=at % 2 == 0) for at in range(4)] == [True, False, True, False]


def test_the_shipped_pace_is_the_services_own() -> None:
    """Its agent's numbers, its probe's, and nothing of where it is deployed; a fault may last beyond both bounds."""
    pace = shipped(SERVICE.read_text())
    assert (pace.promise, pace.gate.promise) == (17, 10)
    assert pace.gate == Gate("/ready", period=5, timeout=2, failure_threshold=2, success_threshold=1)
    assert not {"MODEL", "DEVICE", "HOST"} & set(pace.settings)
    assert pace.fault_seconds[1] > pace.promise + pace.gate.promise


def test_the_shipped_pace_follows_the_file() -> None:
    """Another number in the file is another pace."""
    document = yaml.safe_load(SERVICE.read_text())
    containers = document["spec"]["template"]["spec"]["containers"]
    containers[0]["readinessProbe"]["failureThreshold"] = 4
    assert shipped(yaml.safe_dump(document)).gate.promise == 20
