"""The Pareto front: the points that no other beats both ways. Pure."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of which no other is at most as large in both and smaller in one; ascending in the first."""
    kept: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept
