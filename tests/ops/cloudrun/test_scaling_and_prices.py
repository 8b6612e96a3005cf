"""Concurrency, queues and prices of `ops plan`: checked against values that are known from elsewhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.cloudrun.prices import Instance, PriceUnknown, list_prices, usd_per_hour, usd_per_million_tokens
from ops.cloudrun.scaling import Traffic, autoscale, queue, rule_of_thumb


def test_three_models_four_parallel_and_a_batch_of_four_are_twenty_four() -> None:
    """The check value of the rule of thumb (R29)."""
    assert rule_of_thumb(3, 4, 4) == rule_of_thumb(3, 4) == 24


def test_one_slot_is_the_textbook_queue() -> None:
    """With one server M/M/c is M/M/1: at half load half the requests wait, one service time on average."""
    found = queue(Traffic(rate=0.5, seconds=1.0), slots=1)
    assert found.waiting_share == pytest.approx(0.5)
    assert found.mean_wait_seconds == pytest.approx(1.0)
    assert found.empty_share == pytest.approx(0.5)
    assert found.in_instance == pytest.approx(1.0)
    assert found.p95_wait_seconds == pytest.approx(math.log(0.5 / 0.05) / 0.5)


def test_erlang_c_of_a_published_case() -> None:
    """Ten servers at eight Erlang: four requests in ten wait (tables of Erlang's C formula: 0.409)."""
    assert queue(Traffic(rate=8.0, seconds=1.0), slots=10).waiting_share == pytest.approx(0.409, abs=0.001)


def test_more_work_than_slots_waits_for_ever() -> None:
    """An overloaded instance has no steady state, and says so by infinite waits."""
    found = queue(Traffic(rate=2.0, seconds=2.0), slots=4)
    assert found.mean_wait_seconds == found.in_instance == math.inf
    assert found.utilisation == 1.0


@given(st.floats(0.01, 200.0), st.floats(0.01, 60.0), st.integers(1, 400))
def test_shares_are_shares(rate: float, seconds: float, slots: int) -> None:
    """Whatever the traffic, shares lie between nothing and all, and no wait is negative."""
    found = queue(Traffic(rate, seconds), slots)
    assert 0 <= found.waiting_share <= 1
    assert 0 <= found.empty_share <= 1
    assert found.mean_wait_seconds >= 0
    assert found.p95_wait_seconds >= 0


def test_rare_requests_meet_cold_starts() -> None:
    """One request in two hours finds the tail of fifteen minutes over, nearly always."""
    found = autoscale(Traffic(rate=1 / 7200, seconds=10.0), 4, 8, start_seconds=60.0)
    assert found.instances == 1
    assert found.cold_share == pytest.approx(math.exp(-900 / 7200), rel=0.02)
    assert found.up_share == pytest.approx(1 - math.exp(-900 / 7200), abs=0.01)


def test_a_kept_instance_has_no_cold_start_and_is_always_billed() -> None:
    """With minScale 1 nobody waits for a start from zero, and every second costs."""
    found = autoscale(Traffic(rate=1 / 7200, seconds=10.0), 4, 8, start_seconds=60.0, least=1)
    assert (found.cold_share, found.cold_starts_per_hour, found.up_share) == (0.0, 0.0, 1.0)


def test_a_model_s_requests_wait_for_its_own_slots() -> None:
    """Two models share no slots: each is a queue with half the traffic, and waits are longer than in one."""
    found = autoscale(Traffic(rate=1.0, seconds=1.0), 1, 100, models=2, start_seconds=60.0).queue
    alone = queue(Traffic(rate=0.5, seconds=1.0), 1)
    assert (
        found.mean_wait_seconds == alone.mean_wait_seconds > queue(Traffic(rate=1.0, seconds=1.0), 2).mean_wait_seconds
    )
    assert found.utilisation == alone.utilisation
    assert found.in_instance == 2 * alone.in_instance
    assert found.empty_share == pytest.approx(alone.empty_share**2)


def test_instances_are_added_until_each_holds_its_target() -> None:
    """Cloud Run keeps six tenths of containerConcurrency in each: 12 of 20 here; 30 at once need three instances."""
    found = autoscale(Traffic(rate=30.0, seconds=1.0), 20, 20, start_seconds=60.0, limit=5)
    assert found.instances == 3
    assert found.fits


def test_without_a_gpu_the_cpu_asks_for_more_instances() -> None:
    """One request keeps every core busy: instances are added until each is empty for four tenths of the time."""
    traffic = Traffic(rate=0.5, seconds=4.0)
    on_gpu, on_cpu = (autoscale(traffic, 4, 8, on_cpu=on_cpu, start_seconds=60.0) for on_cpu in (False, True))
    assert (on_gpu.instances, on_cpu.instances) == (1, 3)
    assert on_cpu.queue.busy_share <= 0.6 < queue(Traffic(0.25, 4.0), 4).busy_share


def test_a_limit_below_the_need_is_told() -> None:
    """Where maxScale stops the autoscaler, what is needed is still told, and that it does not fit."""
    found = autoscale(Traffic(rate=10.0, seconds=10.0), 4, 8, start_seconds=60.0, limit=2)
    assert not found.fits
    assert found.instances > 2
    assert found.queue.mean_wait_seconds == math.inf


def test_a_stable_queue_above_the_target_fits() -> None:
    """Where maxScale stops the autoscaler but the slots keep up, waits are known: it fits, off target."""
    found = autoscale(Traffic(rate=0.9, seconds=4.0), 4, 8, start_seconds=60.0, limit=1)
    assert found.fits
    assert not found.on_target
    assert (found.instances, found.running) == (2, 1)
    assert 0 < found.queue.mean_wait_seconds < math.inf


def test_an_instance_of_the_default_service_costs_what_its_parts_cost() -> None:
    """8 CPU, 32 GiB and an L4 are $0.000395 a second."""
    assert usd_per_hour(Instance(8, 32, "nvidia-l4"), list_prices()) / 3600 == pytest.approx(0.000395, abs=5e-7)


def test_zonal_redundancy_has_its_price() -> None:
    """With zonal redundancy an L4 costs more by the difference of the list's two prices."""
    plain, redundant = (
        usd_per_hour(Instance(8, 32, "nvidia-l4", zonal_redundancy=on), list_prices()) for on in (False, True)
    )
    assert (redundant - plain) / 3600 == pytest.approx(0.0002909 - 0.0001867)


def test_a_price_that_was_not_found_is_asked_for() -> None:
    """The larger GPU has no public price here: an error names the option, and nothing is invented."""
    large = Instance(20, 80, "nvidia-rtx-pro-6000")
    with pytest.raises(PriceUnknown, match="--gpu-price"):
        usd_per_hour(large, list_prices())
    priced = list_prices().with_gpu("nvidia-rtx-pro-6000", 0.001)
    assert usd_per_hour(large, priced) / 3600 == pytest.approx(0.001 + 20 * 0.000018 + 80 * 0.000002)


def test_tokens_bear_the_hour() -> None:
    """An hour of $3.60 at 100 tokens a second makes 360,000 of them: $10 a million."""
    assert usd_per_million_tokens(3.6, 100) == pytest.approx(10.0)
