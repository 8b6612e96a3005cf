"""A plan: what was asked for, and all that follows from it; pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ops import kv_cache
from ops.cloudrun.prices import HOUR_SECONDS, Instance, Prices, PriceUnknown, usd_per_hour, usd_per_million_tokens
from ops.cloudrun.scaling import IDLE_SECONDS, Scaling, autoscale, rule_of_thumb
from ops.plan import startup
from ops.plan.asked import Asked
from ops.plan.errors import PlanRefused
from ops.plan.fits import Fit, fit_of, memory_of
from ops.plan.gpus import host_room, usable
from ops.plan.memory import GIB, MIB, Memory, Unplannable

# The platform's bound for containerConcurrency.
MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Costs:
    """US dollars; None where what it takes to know was not told."""

    usd_per_hour: float
    # For the quarter of an hour for which an instance without requests may be kept.
    usd_per_idle_tail: float
    # At the traffic that was given, for 730 hours.
    usd_per_month: float | None
    usd_per_million_tokens: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One number of slots that a load test has measured, at the traffic that was given."""

    slots: int
    at_once: int
    # In memory, and the instances that may run keep up.
    fits: bool
    # As many instances may run as the autoscaler wants.
    on_target: bool
    # That one instance serves with all slots busy.
    requests_per_second: float
    instances: int
    # Of a request on average, its wait for a slot included.
    seconds: float
    p95_wait_seconds: float
    usd_per_month: float | None
    usd_per_million_tokens: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All that follows."""

    asked: Asked
    # Of one of the models.
    memory: Memory
    usable: int
    fits: tuple[Fit, ...]
    # containerConcurrency: requests that one instance is sent at once.
    at_once: int
    scaling: Scaling | None
    budget: startup.Budget | None
    costs: Costs | None
    price_unknown: str
    # What throughput, latency and cost become with each number of slots that was measured.
    choices: tuple[Choice, ...]
    # Why a number of slots that was measured cannot be planned.
    left_out: tuple[str, ...]
    prices: Prices

    @property
    def total(self) -> int:
        """The bytes of all models together."""
        return self.memory.total * self.asked.models

    @property
    def context(self) -> int:
        """Tokens of each slot: what was asked for, never more than the model was trained for."""
        return min(self.asked.load.context, self.asked.shape.trained_context)

    @property
    def left(self) -> int:
        """Bytes that stay free below what may be used; negative: so many too many."""
        return self.usable - self.total

    @property
    def host_left(self) -> int | None:
        """The same of the container's memory when the models are on a GPU; None without one."""
        asked = self.asked
        if not asked.device.is_gpu:
            return None
        room = host_room(asked.models, int(asked.container_gib * GIB), asked.prompt_cache_mib * MIB)
        return room - asked.models * self.memory.host

    @property
    def has_room(self) -> bool:
        """Whether all fits, on the GPU and in the host's memory."""
        return self.left >= 0 and (self.host_left is None or self.host_left >= 0)


MONTH_HOURS = 730


def plan(asked: Asked, prices: Prices) -> Plan:
    """Return the plan.

    Raises:
        PlanRefused: the settings do not go together.

    """
    found = _alone(asked, prices)
    kv_types = dict.fromkeys((*kv_cache.DOCUMENTED, asked.load.kv_type))
    fits = tuple(fit_of(found.asked, kv_type, found.usable) for kv_type in kv_types)
    choices, left_out = _choices(found.asked, prices)
    return replace(found, fits=fits, choices=choices, left_out=left_out)


def _alone(asked: Asked, prices: Prices) -> Plan:
    """Return the plan without what else would fit, or was measured."""
    device = replace(asked.device, memory_bytes=asked.memory_bytes or asked.device.memory_bytes)
    asked = replace(asked, device=device)
    room = usable(device, asked.models, int(asked.container_gib * GIB), asked.prompt_cache_mib * MIB)
    try:
        own = memory_of(asked, asked.load)
    except Unplannable as error:
        raise PlanRefused(str(error)) from error
    at_once = rule_of_thumb(asked.models, own.slots, asked.ideal_batch)
    if at_once > MOST_AT_ONCE:
        raise PlanRefused(
            f"{at_once} requests at once: Cloud Run takes at most {MOST_AT_ONCE}; plan fewer slots or models"
        )
    budget = _budget(asked)
    scaling = _scaling(asked, own, at_once, budget)
    try:
        costs, unknown = _costs(asked, scaling, prices), ""
    except PriceUnknown as error:
        costs, unknown = None, str(error)
    return Plan(asked, own, room, (), at_once, scaling, budget, costs, unknown, (), (), prices)


def _choices(asked: Asked, prices: Prices) -> tuple[tuple[Choice, ...], tuple[str, ...]]:
    """Return a choice for each number of slots that was measured, and why others are none."""
    if asked.traffic is None:
        return (), ()
    found, left_out = [], []
    for slots, seconds in asked.measured:
        traffic = replace(asked.traffic, seconds=seconds)
        try:
            own = _alone(replace(asked, load=replace(asked.load, parallel=slots), traffic=traffic), prices)
        except PlanRefused as error:
            left_out.append(f"{slots} slots: {error}")
        else:
            if own.scaling:
                found.append(_choice(own, own.scaling, slots, seconds))
    return tuple(found), tuple(left_out)


def _choice(own: Plan, scaling: Scaling, slots: int, seconds: float) -> Choice:
    return Choice(
        slots=slots,
        at_once=own.at_once,
        fits=own.has_room and scaling.fits,
        on_target=scaling.on_target,
        requests_per_second=own.memory.slots * own.asked.models / seconds,
        instances=scaling.instances,
        seconds=seconds + scaling.queue.mean_wait_seconds,
        p95_wait_seconds=scaling.queue.p95_wait_seconds,
        usd_per_month=own.costs.usd_per_month if own.costs else None,
        usd_per_million_tokens=own.costs.usd_per_million_tokens if own.costs else None,
    )


def _budget(asked: Asked) -> startup.Budget | None:
    if asked.bytes_per_second is None:
        return None
    size = (asked.shape.weight_bytes + asked.shape.projector_bytes) * asked.models
    return startup.budget(
        size,
        asked.bytes_per_second,
        is_gpu=asked.device.is_gpu,
        around_seconds=asked.around_seconds,
        margin=asked.margin,
    )


def _scaling(asked: Asked, own: Memory, at_once: int, budget: startup.Budget | None) -> Scaling | None:
    if asked.traffic is None:
        return None
    return autoscale(
        asked.traffic,
        own.slots,
        at_once,
        models=asked.models,
        on_cpu=not asked.device.is_gpu,
        start_seconds=budget.usual if budget else asked.around_seconds,
        least=asked.least_instances,
        limit=asked.most_instances,
    )


def _costs(asked: Asked, scaling: Scaling | None, prices: Prices) -> Costs:
    gpu = asked.device.name if asked.device.is_gpu else None
    hour = usd_per_hour(Instance(asked.vcpu, asked.gib, gpu, asked.zonal_redundancy), prices)
    tail = hour * IDLE_SECONDS / HOUR_SECONDS
    if scaling is None or asked.traffic is None:
        return Costs(hour, tail, None, None)
    running = scaling.running
    billed = hour * (scaling.up_share if running == 1 else running)
    tokens = asked.traffic.rate * asked.tokens if asked.tokens and scaling.fits else None
    million = usd_per_million_tokens(billed, tokens) if tokens else None
    return Costs(hour, tail, billed * MONTH_HOURS, million)
