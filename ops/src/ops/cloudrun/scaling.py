"""How many requests at once an instance is sent, and what a given traffic makes of it; pure.

The queue is M/M/c in each instance: requests arrive at random and are split evenly over the instances, an instance
serves as many as it has slots, and the rest wait in it in the order of their arrival (Erlang's C formula). A model's
requests wait for its own slots, whatever the other models do: there is a queue for each, and all get as much traffic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

# The share of containerConcurrency, and of the CPU, that Cloud Run keeps (its page "About instance autoscaling").
TARGET = 0.6
# For how long at most an instance without requests is kept, and billed (Cloud Run, about instance autoscaling).
IDLE_SECONDS = 900.0
# Where the search for a number of instances ends.
MOST_INSTANCES = 1000


def rule_of_thumb(models: int, parallel: int, batch: int | None = None) -> int:
    """Return (models x parallel queries per model) + (models x ideal batch size); the batch is the slots when unset.

    Source: Google's best practices for AI inference on Cloud Run with GPUs. Check: 3 models, 4 parallel, batch 4: 24.
    """
    return models * parallel + models * (parallel if batch is None else batch)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests per second, at random instants, and the seconds that one takes in its slot while the others run too."""

    rate: float
    seconds: float

    @property
    def offered(self) -> float:
        """Requests that are served at once on average, were there slots for all of them (Erlang)."""
        return self.rate * self.seconds


@dataclass(frozen=True, slots=True)
class Queue:
    """One instance's queue in its steady state; with several models each one's, but for the last two."""

    # The share of the slots that are busy, 0 to 1; from 1 on the queue grows without end.
    utilisation: float
    # The share of requests that find no free slot.
    waiting_share: float
    mean_wait_seconds: float
    p95_wait_seconds: float
    # Requests in the instance on average, the waiting ones too: what Cloud Run counts as its concurrency.
    in_instance: float
    # The share of time without any request.
    empty_share: float

    @property
    def busy_share(self) -> float:
        """The share of time with any request: that of a CPU without a GPU, since llama.cpp computes on every core."""
        return 1 - self.empty_share


@dataclass(frozen=True, slots=True)
class Scaling:
    """What the autoscaler makes of the traffic."""

    # As many as the traffic needs; more than `limit` are not started.
    instances: int
    limit: int
    # Of each of the instances that run; of a single one when the traffic is below it.
    queue: Queue
    cold_starts_per_hour: float
    # The share of requests that wait for a start from zero instances, 0 to 1.
    cold_share: float
    # The share of time for which the first instance is billed, its start and its idle tail included.
    up_share: float

    @property
    def fits(self) -> bool:
        """Whether the instances that may run keep up with the traffic: waits stay bounded."""
        return self.queue.utilisation < 1

    @property
    def on_target(self) -> bool:
        """Whether as many instances may run as the autoscaler wants: without, the waits are those of fewer."""
        return self.instances <= self.limit

    @property
    def running(self) -> int:
        """The instances that run under this traffic."""
        return min(self.instances, self.limit)


def queue(traffic: Traffic, slots: int) -> Queue:
    """Return the steady state of `slots` servers; an unstable one has infinite waits."""
    offered, utilisation = traffic.offered, traffic.offered / slots
    if utilisation >= 1:
        return Queue(utilisation, 1.0, math.inf, math.inf, math.inf, 0.0)
    blocked = 1.0
    for servers in range(1, slots + 1):
        blocked = offered * blocked / (servers + offered * blocked)  # Erlang's B, without its factorials
    waiting = blocked / (1 - utilisation * (1 - blocked))
    drain = (slots - offered) / traffic.seconds  # requests per second by which a full instance works off its queue
    tail = math.log(waiting / 0.05) / drain if waiting > 0.05 else 0.0  # noqa: PLR2004 — the 95th percentile
    mean = waiting / drain
    in_instance = offered + traffic.rate * mean
    return Queue(utilisation, waiting, mean, tail, in_instance, _empty(offered, slots))


def _empty(offered: float, slots: int) -> float:
    """Return the probability of no request at all, summed by logarithms: a factorial of 400 slots is no float."""
    if offered == 0:
        return 1.0
    terms = [count * math.log(offered) - math.lgamma(count + 1) for count in range(slots)]
    terms.append(slots * math.log(offered) - math.lgamma(slots + 1) - math.log(1 - offered / slots))
    highest = max(terms)
    return math.exp(-highest) / math.fsum(math.exp(term - highest) for term in terms)


def autoscale(
    traffic: Traffic,
    slots: int,
    concurrency: int,
    *,
    models: int = 1,
    on_cpu: bool = False,
    start_seconds: float,
    least: int = 0,
    limit: int = 3,
    target: float = TARGET,
    idle_seconds: float = IDLE_SECONDS,
) -> Scaling:
    """Return how many instances Cloud Run runs, and how they fare; `slots` are those of each of the `models`.

    It adds instances until each has at most `target` of its containerConcurrency in it, and where the model is computed
    `on_cpu`, until each one's CPUs are busy for at most that share of the time. From zero, the first request after
    `idle_seconds` without any waits for a start of `start_seconds`, and so do those that come during it.
    """
    needed = next(
        (
            count
            for count in range(max(least, 1), MOST_INSTANCES)
            if (each := _share(traffic, count, slots, models)).in_instance <= target * concurrency
            and (not on_cpu or each.busy_share <= target)
        ),
        MOST_INSTANCES,
    )
    running = min(needed, max(limit, 1))
    each = _share(traffic, running, slots, models)
    # An idle spell ends with the next request, so it is exponential: this share of the time lies beyond its tail.
    asleep = 0.0 if least else each.empty_share**running * math.exp(-traffic.rate * idle_seconds)
    starts = traffic.rate * asleep
    return Scaling(
        instances=needed,
        limit=limit,
        queue=each,
        cold_starts_per_hour=starts * 3600,
        cold_share=min(1.0, asleep * (1 + traffic.rate * start_seconds)),
        up_share=min(1.0, 1 - asleep + starts * start_seconds),
    )


def _share(traffic: Traffic, instances: int, slots: int, models: int) -> Queue:
    own = queue(Traffic(traffic.rate / instances / models, traffic.seconds), slots)
    return replace(own, in_instance=own.in_instance * models, empty_share=own.empty_share**models)
