"""Percentiles, and how sure they are. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RESAMPLES = 400
"""Bootstrap repetitions: enough for the two digits that an interval is read with."""
CONFIDENCE = 0.95
LEAST_BLOCKS = 6
"""Fewer blocks than this give intervals that are too narrow to be believed: none is given then."""
Z = 1.959964
"""The normal quantile of 95 %, both sides."""


def percentile(values: Sequence[float] | NDArray[np.float64], percent: float) -> float:
    """Return the nearest-rank percentile: the smallest value that `percent` (0 to 100) of them do not exceed."""
    return float(np.percentile(np.asarray(values), percent, method="inverted_cdf"))


def block_length(series: Sequence[Sequence[float]], at_once: float) -> int:
    """Return how many requests in a row are resampled together: those at once wait for each other, so at least these.

    n^(1/3) is the usual order for blocks of a correlated series (Künsch, moving-block bootstrap).
    """
    longest = max((len(each) for each in series), default=1)
    return max(1, math.ceil(math.cbrt(longest)), math.ceil(at_once))


def resampled(series: Sequence[Sequence[float]], length: int, seed: int) -> NDArray[np.float64] | None:
    """Return `RESAMPLES` rows, each a resample of all repetitions by blocks in a row; None: too few blocks.

    `series` holds one list for each repetition, in order of time. Blocks wrap around within their repetition.
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in series if len(each)]
    if sum(math.ceil(len(each) / length) for each in arrays) < LEAST_BLOCKS:
        return None
    draw = np.random.default_rng(seed)
    parts = []
    for values in arrays:
        size = len(values)
        starts = draw.integers(0, size, (RESAMPLES, math.ceil(size / length)))
        at = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :size] % size
        parts.append(values[at])
    return np.concatenate(parts, axis=1)


def interval(statistics: NDArray[np.float64]) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of resampled statistics."""
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(statistics, [tail, 100 - tail])
    return float(low), float(high)


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; it is sensible at 0 and at 1 too."""
    if not whole:
        return 0.0, 1.0
    share = part / whole
    centre = (share + Z * Z / (2 * whole)) / (1 + Z * Z / whole)
    half = Z * math.sqrt(share * (1 - share) / whole + Z * Z / (4 * whole * whole)) / (1 + Z * Z / whole)
    return max(0.0, centre - half), min(1.0, centre + half)
