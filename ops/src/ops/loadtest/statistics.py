"""Percentiles, and how sure they are. Pure."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

# Bootstrap repetitions: enough for the two digits that an interval is read with.
RESAMPLES = 400
CONFIDENCE = 0.95
# Fewer blocks than this give intervals that are too narrow to be believed: none is given then.
LEAST_BLOCKS = 6
# Two say too little of how repetitions differ: the interval would be some times as wide as the figure.
LEAST_REPETITIONS = 3
# A percentile that fewer requests than this exceed is the slowest one's: its interval would hold far below 95 %.
LEAST_BEYOND = 4
# The normal quantile of 95 %, both sides.
Z = 1.959964


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
    """Return `RESAMPLES` rows, resampled by repetitions and, in each, by blocks in a row; None: too few blocks.

    `series` holds one list for each repetition, in order of time. Blocks wrap around within their repetition. A machine
    differs from one repetition to the next by more than requests tell: so repetitions are drawn, too.
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in series if len(each)]
    if sum(math.ceil(len(each) / length) for each in arrays) < LEAST_BLOCKS:
        return None
    draw = np.random.default_rng(seed)
    size = math.ceil(sum(map(len, arrays)) / len(arrays))
    parts = []
    for _ in arrays:
        taken = draw.integers(0, len(arrays), RESAMPLES)
        part = np.empty((RESAMPLES, size))
        for number, values in enumerate(arrays):
            rows = taken == number
            starts = draw.integers(0, len(values), (int(rows.sum()), math.ceil(size / length)))
            at = (starts[:, :, None] + np.arange(length)).reshape(len(starts), -1)[:, :size] % len(values)
            part[rows] = values[at]
        parts.append(part)
    return np.concatenate(parts, axis=1)


@cache
def student_t(freedom: float, confidence: float) -> float:
    """Return the quantile of Student's t, both sides, for at least 1 degree of freedom.

    With t = sqrt(freedom) tan(a) its density is that of cos(a)^(freedom - 1), which is summed up here.
    """
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos(angles) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return math.sqrt(freedom) * math.tan(float(np.interp(confidence, below / below[-1], angles)))


def _half(figures: Sequence[float]) -> float:
    """Return half the interval of the repetitions' own figures, by Student's t; endless where one is."""
    if not all(map(math.isfinite, figures)):
        return math.inf
    return student_t(len(figures) - 1, CONFIDENCE) * float(np.std(figures, ddof=1)) / math.sqrt(len(figures))


def mean_interval(means: Sequence[float]) -> tuple[float, float] | None:
    """Return the bounds of the mean of repetitions, by Student's t; None below `LEAST_REPETITIONS`."""
    if len(means) < LEAST_REPETITIONS:
        return None
    middle, half = float(np.mean(means)), _half(means)
    return middle - half, middle + half


def percentile_intervals(
    series: Sequence[Sequence[float]], percents: Sequence[float], length: int, seed: int
) -> list[tuple[float, float] | None]:
    """Return the bounds of each percentile of all repetitions' values; None: too little for one that holds.

    They are the wider, on each side, of two: Student's t over the repetitions' own percentiles, and what `resampled`
    gives. Three repetitions are too few to be drawn from, so that the second alone holds some 80 % where the machine
    differs between them; the first alone holds too little where a repetition has but a few requests beyond it.
    """
    series = [each for each in series if len(each)]
    rows = resampled(series, length, seed) if len(series) >= LEAST_REPETITIONS else None
    if rows is None:
        return [None] * len(percents)
    values = np.concatenate([np.asarray(each, dtype=np.float64) for each in series])
    spread = np.percentile(rows, percents, axis=1, method="inverted_cdf")
    bounds: list[tuple[float, float] | None] = []
    for percent, drawn in zip(percents, spread, strict=True):
        if len(values) * (100 - percent) < LEAST_BEYOND * 100:
            bounds.append(None)
            continue
        low, high = interval(drawn)
        middle, half = percentile(values, percent), _half([percentile(each, percent) for each in series])
        bounds.append((max(0.0, min(low, middle - half)), max(high, middle + half)))
    return bounds


def difference_interval(
    ours: Sequence[float], theirs: Sequence[float], confidence: float
) -> tuple[float, float] | None:
    """Return the bounds of `theirs` less `ours`, by Welch's t; None where one has too few repetitions."""
    if min(len(ours), len(theirs)) < LEAST_REPETITIONS:
        return None
    spreads = [float(np.var(each, ddof=1)) / len(each) for each in (ours, theirs)]
    parts = sum(spread**2 / (len(each) - 1) for spread, each in zip(spreads, (ours, theirs), strict=True))
    freedom = sum(spreads) ** 2 / parts if parts else 1.0
    middle = float(np.mean(theirs)) - float(np.mean(ours))
    half = student_t(freedom, confidence) * math.sqrt(sum(spreads))
    return middle - half, middle + half


def interval(statistics: NDArray[np.float64]) -> tuple[float, float]:
    """Return the bounds of the middle 95 % of resampled statistics."""
    tail = (1 - CONFIDENCE) / 2 * 100
    low, high = np.percentile(
        statistics, [tail, 100 - tail], method="inverted_cdf"
    )  # between two, endless is no number
    return float(low), float(high)


def share_interval(part: int, whole: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share; it is sensible at 0 and at 1 too."""
    if not whole:
        return 0.0, 1.0
    share = part / whole
    centre = (share + Z * Z / (2 * whole)) / (1 + Z * Z / whole)
    half = Z * math.sqrt(share * (1 - share) / whole + Z * Z / (4 * whole * whole)) / (1 + Z * Z / whole)
    return max(0.0, centre - half), min(1.0, centre + half)
