"""From records to figures, each with its interval. Pure.

Percentiles are of whole answers: failures are a figure of their own. Those that limits are held against (`…_of_all`)
are of all requests: who waited in vain has waited longer than any limit. A request counts into the throughput by the
share of its tokens that came within the window, so that those cut by the window's edges neither raise nor lower it.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ops.loadtest import limits as limits_
from ops.loadtest import statistics
from ops.loadtest.figure import Figure
from ops.loadtest.limits import Limit
from ops.loadtest.record import Record, Repetition

PERCENTS = (50, 90, 95, 99)
LATENCIES = ("ttft", "tpot", "e2e", "server_queue", "outside")
# At so many instants of a window the requests in flight are counted.
INSTANTS = 500
SEED = 1


def of(repetitions: Sequence[Repetition], limits: Sequence[Limit]) -> dict[str, Figure]:
    """Return every figure of a step by name; what could not be measured is missing."""
    measured = [repetition.measured for repetition in repetitions]
    if not any(measured):
        return {}
    found: dict[str, Figure] = {}
    at_once = in_flight(repetitions)
    for name in LATENCIES:
        series = [[v for r in each if r.error is None and (v := getattr(r, name)) is not None] for each in measured]
        found |= _percentiles(f"{name}_p%d", series, at_once.mean(), PERCENTS)
    for limit in limits:
        if limit.latency:
            series = [[v for r in each if (v := _waited(r, limit.latency)) is not None] for each in measured]
            percent = int(limit.figure.partition("_p")[2])
            found |= _percentiles(f"{limit.latency}_p%d_of_all", series, at_once.mean(), (percent,))
    found |= _throughput(repetitions, limits)
    found["unserved_share"] = unserved(repetitions)
    every = [record for each in measured for record in each]
    failed = sum(record.error is not None for record in every)
    found["error_share"] = Figure(failed / len(every), *statistics.share_interval(failed, len(every)))
    found["in_flight_mean"] = Figure(float(at_once.mean()))
    found["in_flight_p95"] = Figure(statistics.percentile(at_once, 95))
    found["late_p99"] = Figure(statistics.percentile([r.sent - r.intended for r in every], 99))
    for name in ("prompt_tokens", "output_tokens"):
        counts = [value for r in every if r.error is None and (value := getattr(r, name))]
        if counts:
            found[name] = Figure(sum(counts) / len(counts))
    found["requests"] = Figure(len(every))
    return found


def errors(repetitions: Sequence[Repetition]) -> dict[str, int]:
    """Return how many measured requests failed, by kind."""
    return dict(Counter(r.error for each in repetitions for r in each.measured if r.error is not None))


def _waited(record: Record, latency: str) -> float | None:
    value: float | None = math.inf if record.error is not None else getattr(record, latency)
    return value


def _percentiles(
    name: str, series: Sequence[Sequence[float]], at_once: float, percents: Sequence[int]
) -> dict[str, Figure]:
    """Return them, named, with their intervals; what is endless is left out, and so is a bound that is."""
    values = [value for each in series for value in each]
    if not values:
        return {}
    bounds = statistics.percentile_intervals(series, percents, statistics.block_length(series, at_once), SEED)
    found = {}
    for percent, each in zip(percents, bounds, strict=True):
        value = statistics.percentile(values, percent)
        if math.isfinite(value):
            found[name % percent] = Figure(value, *_finite(each or (math.inf, math.inf)))
    return found


def _finite(bounds: tuple[float, float]) -> tuple[float | None, float | None]:
    low, high = (each if math.isfinite(each) else None for each in bounds)
    return low, high


def rate(repetitions: Sequence[Repetition]) -> float:
    """Return output tokens a second, without an interval: for the verdict between two steps."""
    found = rates(repetitions, tokens)
    return sum(found) / len(found) if found else 0.0


def unserved(repetitions: Sequence[Repetition]) -> Figure:
    """Return the share of what was meant to go out that the service did not keep up with: its backlog's growth.

    A steady backlog differs between a window's two ends by chance, as Poisson counts do; the interval is that.
    """
    meant = sum(len(each.measured) for each in repetitions)
    if not meant:
        return Figure(0.0)
    served = sum(_within(each, one) for each in repetitions)
    chance = statistics.Z * math.sqrt(2 * len(repetitions) * max(1.0, float(in_flight(repetitions).mean()))) / meant
    share = (meant - served) / meant
    return Figure(share, share - chance, share + chance)


def one(_record: Record) -> float:
    """Weigh each answer as one: requests."""
    return 1.0


def tokens(record: Record) -> float:
    """Weigh each answer by its tokens."""
    return float(record.output_tokens)


def _throughput(repetitions: Sequence[Repetition], limits: Sequence[Limit]) -> dict[str, Figure]:
    weights: dict[str, Callable[[Record], float]] = {
        "requests_per_second": one,
        "tokens_per_second": tokens,
    }
    if any(limit.latency for limit in limits):
        weights["goodput"] = lambda record: float(limits_.is_good(record, limits))
    found = {}
    for name, weight in weights.items():
        each = rates(repetitions, weight)
        low, high = statistics.mean_interval(each) or (None, None)
        found[name] = Figure(sum(each) / len(each) if each else 0.0, low if low is None else max(0.0, low), high)
    return found


def rates(repetitions: Sequence[Repetition], weight: Callable[[Record], float]) -> list[float]:
    """Return each repetition's rate a second, without those that measured for no time."""
    return [_within(each, weight) / each.seconds for each in repetitions if each.seconds > 0]


def _within(repetition: Repetition, weight: Callable[[Record], float]) -> float:
    """Return the weight that came within the window, every whole answer spread over the time of its tokens."""
    whole = 0.0
    for record in repetition.records:
        if record.error is not None:
            continue
        first = record.end if record.first is None else record.first
        # A token takes until it is there: the first one as long as the others, where that is known.
        first -= min(record.tpot or 0.0, first - record.sent)
        last = max(record.end if record.last is None else record.last, first + 1e-6)
        overlap = max(0.0, min(repetition.end, last) - max(repetition.begin, first))
        whole += overlap / (last - first) * weight(record)
    return whole


def in_flight(repetitions: Sequence[Repetition]) -> NDArray[np.float64]:
    """Return how many requests were under way at instants spread evenly over the windows."""
    counts = []
    for repetition in repetitions:
        sent = np.sort([record.sent for record in repetition.records])
        ended = np.sort([record.end for record in repetition.records])
        at = np.linspace(repetition.begin, repetition.end, INSTANTS, endpoint=False)
        counts.append(np.searchsorted(sent, at, "right") - np.searchsorted(ended, at, "right"))
    return np.concatenate(counts).astype(np.float64)
