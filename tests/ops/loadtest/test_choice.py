"""The choice: limits, saturation, the knee, the rule of thumb beside it, cost, and two runs compared."""

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ops.__main__ import main
from ops.loadtest import compare, conclusion, knee, limits, local, money, run, saturation
from ops.loadtest.conclusion import Rule
from ops.loadtest.errors import InputError
from ops.loadtest.figure import Figure
from ops.loadtest.knee import Measured
from ops.loadtest.loads import Load, Loop
from ops.loadtest.record import Record, Repetition, Step
from ops.loadtest.report import pareto, summary
from ops.loadtest.run import Run
from ops.loadtest.saturation import Count

SERVICE = Path(__file__).parents[3] / "service.yaml"


def measured(level: float, tokens: float, ttft: float, **more: Any) -> Measured:
    """Return a closed loop's step with a throughput and a 95th percentile of TTFT, 5 % wide."""
    shown = {
        "tokens_per_second": Figure(tokens),
        "requests_per_second": Figure(tokens / 10),
        "ttft_p95": Figure(ttft, ttft * 0.95, ttft * 1.05),
        "ttft_p95_of_all": Figure(ttft, ttft * 0.95, ttft * 1.05),
        "error_share": Figure(more.pop("errors", 0.0)),
        "in_flight_p95": Figure(level * 3),
        "unserved_share": Figure(1 - tokens / 10 / level, 1 - tokens / 10 / level - 0.03),
    }
    return Measured(
        more.pop("parallel", 4), Load(more.pop("loop", Loop.CLOSED), level), more.pop("stopped", None), shown
    )


CURVE = [
    measured(1, 100, 0.1),
    measured(2, 200, 0.1),
    measured(4, 400, 0.1),
    measured(8, 404, 0.5),
    measured(16, 406, 1.5),
]


@pytest.mark.parametrize(("text", "bound"), [("ttft_p95=2s", 2.0), ("tpot_p50=80ms", 0.08), ("errors=1%", 0.01)])
def test_limits_are_read(text: str, bound: float) -> None:
    """Latencies by percentile, in any unit of time; failures as a share."""
    assert limits.parse(text).bound == pytest.approx(bound)


@pytest.mark.parametrize("text", ["ttft=2s", "ttft_p95<2s", "ttft_p94=1s", "ttft_p95=0s", "errors=1", "e2e_p95=fast"])
def test_what_is_no_limit_is_refused(text: str) -> None:
    """The complaint shows how a limit is written, or what is wrong with its time."""
    with pytest.raises(ValueError, match="expected"):
        limits.parse(text)


def test_the_knee_is_where_more_load_only_waits() -> None:
    """The least load with all of the throughput that matters: one percent more is not worth a longer queue."""
    choice = knee.choose(CURVE, limits.with_default(()))
    assert choice.chosen is CURVE[2]
    assert choice.against[4, Load(Loop.CLOSED, 8)] == "as much throughput with more at once"
    assert choice.against[4, Load(Loop.CLOSED, 2)] == "less throughput"


def test_limits_bind() -> None:
    """A load that breaks a limit is out, however much it brings; the choice says which limit it was."""
    curve = [measured(1, 100, 0.1), measured(2, 150, 0.3), measured(4, 400, 0.9)]
    choice = knee.choose(curve, limits.with_default([limits.parse("ttft_p95=500ms")]))
    assert choice.chosen is curve[1]
    assert choice.against[4, Load(Loop.CLOSED, 4)] == "breaks ttft_p95=500ms"


def test_a_limit_that_nothing_meets_is_said() -> None:
    """No choice, which limit it was, and what to do."""
    choice = knee.choose(CURVE, limits.with_default([limits.parse("ttft_p95=1ms")]))
    assert choice.chosen is None
    assert "even 1 at once breaks ttft_p95=1ms; try less load, or wider limits" in choice.reason


def test_a_limit_within_noise_is_said() -> None:
    """Where the interval's upper bound is beyond the limit, the choice tells that it may not hold."""
    sure, unsure = (knee.choose(CURVE[:3], [limits.parse(f"ttft_p95={ms}ms")]) for ms in (200, 102))
    assert "within noise" not in sure.reason
    assert "within noise" in unsure.reason


def test_a_limit_without_an_interval_is_said() -> None:
    """Too few requests tell how sure a figure is: that is not noise, and more of them would tell."""
    few = replace(CURVE[0], figures={**CURVE[0].figures, "ttft_p95_of_all": Figure(0.1)})
    reason = knee.choose([few], [limits.parse("ttft_p95=200ms")]).reason
    assert "how surely ttft_p95=200ms holds needs more requests, in three repetitions or more" in reason
    assert "within noise" not in reason


def test_a_rival_within_noise_is_named() -> None:
    """Where a lesser load's interval reaches that of the choice, the choice says so."""
    few = measured(2, 360, 0.1)
    wide = {"tokens_per_second": Figure(360, 300, 420)}
    narrow = {"tokens_per_second": Figure(400, 390, 410)}
    curve = [replace(few, figures={**few.figures, **wide}), replace(CURVE[2], figures={**CURVE[2].figures, **narrow})]
    choice = knee.choose(curve, ())
    assert choice.chosen is curve[1]
    assert "within noise 2 at once with 4 slots may be as good" in choice.reason


def test_of_two_settings_the_better_wins() -> None:
    """Throughput decides between slots; of equals the lesser load, then the sooner answers, then the fewer slots."""
    few = [measured(2, 200, 0.1, parallel=2), measured(4, 205, 0.4, parallel=2)]
    assert knee.choose([*few, *CURVE], ()).chosen is CURVE[2]
    same = [measured(4, 400, 0.1, parallel=8)]
    assert knee.choose([*same, *CURVE], ()).chosen is CURVE[2]
    sooner = measured(4, 396, 0.05, parallel=2)
    choice = knee.choose([sooner, *CURVE], ())
    assert choice.chosen is sooner
    assert choice.against[4, Load(Loop.CLOSED, 4)] == "as much throughput, but its answers begin later"


def test_slots_that_nobody_uses_are_not_chosen() -> None:
    """A slot more than there are requests at once costs memory for nothing, whatever the noise says of it."""
    idle = measured(4, 410, 0.05, parallel=8)
    choice = knee.choose([idle, *CURVE], ())
    assert choice.chosen is CURVE[2]
    assert choice.against[8, Load(Loop.CLOSED, 4)] == "more slots than requests at once"


def test_a_load_without_a_whole_answer_is_not_chosen() -> None:
    """Where each answer outlasts the window there is no throughput to judge by."""
    choice = knee.choose([measured(1, 0, 0.1, parallel=1)], ())
    assert choice.chosen is None
    assert "no answer was whole in the window: measure longer (--duration)" in str(choice.against)


def test_an_open_loop_must_keep_up() -> None:
    """A rate that the service does not follow is out; the concurrency is what was seen in the instance."""
    curve = [measured(4, 40, 0.1, loop=Loop.OPEN), measured(8, 70, 0.4, loop=Loop.OPEN)]
    choice = knee.choose(curve, ())
    assert choice.chosen is curve[0]
    assert choice.chosen.concurrency == 12
    assert choice.against[4, Load(Loop.OPEN, 8)] == "does not keep up with what is offered"


def test_a_closed_step_beside_an_open_loop_is_no_choice() -> None:
    """It is there for the rule of thumb: requests at once and requests a second are no two loads of one curve."""
    curve = [measured(4, 40, 0.1, loop=Loop.OPEN), measured(8, 400, 0.1)]
    choice = knee.choose(curve, ())
    assert choice.chosen is curve[0]
    assert choice.against[4, Load(Loop.CLOSED, 8)] == "measured for the rule of thumb"


def test_a_stopped_step_is_no_choice() -> None:
    """What was past saturation has figures, and is not chosen."""
    assert knee.choose([measured(8, 900, 0.1, stopped="saturated: …"), *CURVE], ()).chosen is CURVE[2]


@given(st.permutations(CURVE))
def test_the_choice_does_not_depend_on_the_order(curve: list[Measured]) -> None:
    """Steps may have been measured in any order."""
    assert knee.choose(curve, ()).chosen is CURVE[2]


def counts(rate: float, capacity: float, seconds: float, latency: float = 0.1) -> list[Count]:
    """Return the counts of a service that answers at most `capacity` a second."""
    looks = [n * 0.25 for n in range(1, int(seconds * 4) + 1)]
    return [Count(at, int(at * rate), int(max(0, at - latency) * min(rate, capacity)), 0) for at in looks]


def test_a_growing_backlog_stops_a_step() -> None:
    """A service at twice its capacity is found out long before the step is over, in words that say how."""
    assert "were answered" in (saturation.falls_behind(counts(100, 50, 4)) or "")


@pytest.mark.parametrize("latency", [0.1, 2.0, 8.0])
def test_a_steady_backlog_does_not(latency: float) -> None:
    """A service that keeps up is left alone, however long its answers take."""
    for end in range(2, 20):
        assert saturation.falls_behind(counts(20, 30, end, latency)) is None


def test_failing_requests_stop_a_step() -> None:
    """Most of them, and not just the first few."""
    assert saturation.mostly_fails([Count(1, 50, 40, 30)]) == "failing: 30 of 40 requests failed"
    assert saturation.mostly_fails([Count(1, 50, 40, 19)]) is None
    assert saturation.mostly_fails([]) is None


def test_two_steps_without_gain_are_past_the_knee() -> None:
    """One may be noise."""
    assert not saturation.past_knee([100, 200, 400, 404])
    assert saturation.past_knee([100, 200, 400, 404, 398])
    assert not saturation.past_knee([100, 200, 400, 404, 500])


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float]]) -> None:
    """No point of the front is beaten, and every other point is beaten or equalled by one of the front."""
    front = pareto.front(points)
    for x, y in points:
        assert any(a <= x and b <= y for a, b in front)
    assert all(before[1] > after[1] for before, after in pairwise(front))


def a_run(*paces: float) -> Run:
    """Return a run of one step: 4 users, 4 slots; a repetition for each pace, its answers a second times that."""
    repetitions = []
    for pace in paces or (1.0, 1.0):
        ats = [number // 4 * pace for number in range(160)]
        records = (Record(at, at, at + pace, at + pace / 4, at + pace, 8, 10) for at in ats)
        repetitions.append(Repetition(tuple(records), pace, 38 * pace))
    steps = [Step(4, Load(Loop.CLOSED, 4.0), repetitions), Step(4, Load(Loop.CLOSED, 8.0))]
    return Run(settings={"target": "x", "variables": {}}, environment={"server_version": "1"}, steps=steps)


def test_the_rule_of_thumb_stands_beside_the_choice() -> None:
    """Its value and calculation, and what was measured there; the price follows from the throughput."""
    found = conclusion.conclude(a_run(), limits.with_default(()), Rule(models=1, batch=1), 0.0004)
    assert [(rule.value, rule.words, rule.measured is None) for rule in found.rules] == [(5, "1 × 4 + 1 × 1 = 5", True)]
    assert Rule(3, 4).value(4) == 24
    assert found.measured[0].usd_per_million_tokens is not None
    assert found.measured[0].usd_per_million_tokens.value == pytest.approx(0.0004 / 40 * 1e6, rel=0.01)


def test_the_summary_tells_what_the_autoscaler_holds() -> None:
    """The mean at once, 60 % of the choice, a price that is of a full load, and that no limit was given."""
    wanted = limits.with_default(())
    told = " ".join(summary.lines(a_run(), wanted, conclusion.conclude(a_run(), wanted, Rule(), 0.0004)))
    assert "On average 4 requests were in the instance at once." in told
    assert "keeps near 60% of containerConcurrency, here 2.4" in told
    assert "at this load without a pause a million output tokens cost $10" in told
    assert "Caution: no limit on a latency was given" in told


def test_a_difference_beyond_noise_is_told_from_noise() -> None:
    """Ten percent slower answers differ, where repetitions differ by a percent."""
    slower = {each.figure: each for each in compare.compare(a_run(0.99, 1.0, 1.01), a_run(1.09, 1.1, 1.11))}
    assert slower["e2e_p50"].beyond_noise
    assert slower["e2e_p50"].ratio == pytest.approx(1.1, rel=0.02)
    assert slower["tokens_per_second"].beyond_noise
    assert slower["tokens_per_second"].ratio == pytest.approx(1 / 1.1, rel=0.02)


def test_two_runs_of_the_same_thing_seldom_differ() -> None:
    """Of many pairs on a machine whose pace drifts between repetitions, about one in a hundred is beyond noise."""
    draw = random.Random(1)  # noqa: S311 — a sample, not a secret
    told: Counter[str] = Counter()
    for _ in range(200):
        pair = (a_run(*(draw.lognormvariate(0, 0.05) for _ in range(3))) for _ in range(2))
        told.update(each.figure for each in compare.compare(*pair) if each.beyond_noise)
    assert all(count <= 8 for count in told.values()), told


def test_two_repetitions_are_too_few_to_compare() -> None:
    """No interval, and so no difference, however large it looks."""
    assert not any(each.beyond_noise for each in compare.compare(a_run(1.0, 1.01), a_run(2.0, 2.01)))


def test_what_was_set_otherwise_is_told() -> None:
    """Settings and server that differ between two runs are named with both values; the address is no difference."""
    other = replace(a_run(), settings={"target": "y", "variables": {"OLLAMA_KV_CACHE_TYPE": "q8_0"}})
    assert compare.settings_of(a_run(), other) == [
        'variables: {} in the first, {"OLLAMA_KV_CACHE_TYPE": "q8_0"} in the second'
    ]


def test_the_service_is_adapted_for_each_setting() -> None:
    """Both containers are told of the slots, Ollama of the variables; the front lets through what is tried."""
    service = local.read(SERVICE)
    wanted = {"OLLAMA_KV_CACHE_TYPE": "f16"}
    changed = local.adapted(service, parallel=8, concurrency=32, variables=wanted)["spec"]["template"]["spec"]
    envs = [{each["name"]: each["value"] for each in container["env"]} for container in changed["containers"]]
    assert changed["containerConcurrency"] == 32
    assert [env["OLLAMA_NUM_PARALLEL"] for env in envs] == ["8", "8"]
    assert envs[0]["OLLAMA_KV_CACHE_TYPE"] == "f16"
    assert "OLLAMA_KV_CACHE_TYPE" not in envs[1]
    assert service.document == yaml.safe_load(SERVICE.read_text())


def test_the_price_is_that_of_the_whole_instance() -> None:
    """Both containers' CPU and memory and the GPU, by the list; the operator's figure goes before it."""
    document = local.read(SERVICE).document
    assert money.usd_per_second(document, None) == pytest.approx(0.0001867 + 7 * 0.000018 + 24.5 * 0.000002, rel=0.001)
    assert money.usd_per_second(document, 3.6) == pytest.approx(0.001)
    assert money.usd_per_second(None, None) is None


@pytest.mark.parametrize(
    ("selector", "complaint"),
    [
        (None, "a container asks for nvidia.com/gpu, but no nodeSelector (run.googleapis.com/accelerator) says which"),
        ("nvidia-rtx-pro-6000", "no public price of nvidia-rtx-pro-6000 was found"),
    ],
)
def test_a_gpu_without_a_price_is_never_free(
    selector: str | None, complaint: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The report has no dollars, and one line says whose file, why, and what to give; a figure of one's own goes."""
    document = local.read(SERVICE).document
    accelerator = {} if selector is None else {"run.googleapis.com/accelerator": selector}
    document["spec"]["template"]["spec"]["nodeSelector"] = accelerator
    file, kept = tmp_path / "service.yaml", tmp_path / "run.json"
    file.write_text(yaml.safe_dump(document))
    run.write(kept, a_run().as_json())
    assert money.usd_per_second(document, 3.6) == pytest.approx(0.001)
    assert main(["loadtest", "report", str(kept), "--service", str(file)]) == 0
    assert capfd.readouterr().err == (
        f"ops loadtest: {file}: the price is not known: {complaint}; give it with --usd-per-hour\n"
    )
    assert json.loads(kept.read_text())["conclusion"]["usd_per_second"] is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("{", "is not JSON"), ("{}", "is not a load test's run"), ("[]", "is not a load test's run")],
)
def test_what_is_no_run_is_refused(content: str, complaint: str, tmp_path: Path) -> None:
    """One line says what is wrong with the file."""
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=complaint):
        run.read(tmp_path / "run.json")


def test_a_run_comes_back_from_its_file(tmp_path: Path) -> None:
    """Figures and choice are added for readers; the records are enough to work them out again."""
    before = a_run()
    found = conclusion.conclude(before, (), Rule(), None)
    run.write(tmp_path / "run.json", conclusion.file_of(before, (), found))
    after, _ = run.read(tmp_path / "run.json")
    content = json.loads((tmp_path / "run.json").read_text())
    assert after.as_json() == before.as_json()
    assert content["conclusion"]["chosen"]["containerConcurrency"] == 4
    assert content["steps"][0]["figures"]["e2e_p50"]["value"] == 1.0


REPETITION = ("steps", 0, "repetitions", 0)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("steps",), {}), (("steps", 0), []), (("steps", 0, "load", "level"), "4"), (("steps", 0, "parallel"), "4"),
        (("steps", 0, "load", "loop"), "half"), (("settings",), []), (("environment",), None), (("label",), 1),
        (("notes",), "x"), (("notes",), [1]),
        (("limits",), ["ttft"]), (("limits",), [1]), (("conclusion",), 7),
        (("conclusion", "usd_per_second"), "1"), ((*REPETITION, "end"), None), ((*REPETITION, "records"), {}),
        ((*REPETITION, "records", 0, 2), "x"), ((*REPETITION, "records", 0, 7), 5),
        ((*REPETITION, "records", 0, 6), True), ((*REPETITION, "records", 0), [1.0]),
    ],
)  # fmt: skip
def test_a_damaged_run_is_refused(
    place: tuple[Any, ...], value: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever in a file is not what belongs there: one line, exit status 2, for a report and a comparison alike."""
    wanted = limits.with_default(())
    content = conclusion.file_of(a_run(), wanted, conclusion.conclude(a_run(), wanted, Rule(), 0.0004))
    content = json.loads(msgspec.json.encode(content))
    part = content
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    file = tmp_path / "run.json"
    file.write_text(json.dumps(content))
    for words in (["report", str(file)], ["compare", str(file), str(file)]):
        assert main(["loadtest", *words]) == 2
        error = capfd.readouterr().err
        assert "is damaged" in error
        assert error.count("\n") == 1
