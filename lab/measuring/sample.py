"""Order statistics, and how sure a ratio of medians is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from statistics import median

# Bootstrap repetitions: the 95 % bounds move by less than their third digit from one seed to another.
RESAMPLES = 10_000


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `percent` (0 to 100) of them do not exceed."""
    rank = math.ceil(percent / 100 * len(values))
    return sorted(values)[max(rank, 1) - 1]


def ratio_of_medians(pairs: Sequence[tuple[float, float]], seed: int = 1) -> tuple[float, float, float]:
    """Return median(first) / median(second) and its 95 % interval, by resampling whole pairs."""
    draw = random.Random(seed)  # noqa: S311 — statistics, not secrets; seeded, so that a result can be checked
    ratios = [_ratio(draw.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)]
    return _ratio(pairs), percentile(ratios, 2.5), percentile(ratios, 97.5)


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return median(first for first, _ in pairs) / median(second for _, second in pairs)


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return number, median, 95th and 99th percentile, and the extremes, in the values' own unit."""
    return {
        "number": len(values),
        "median": median(values),
        "p95": percentile(values, 95),
        "p99": percentile(values, 99),
        "least": min(values),
        "most": max(values),
    }
