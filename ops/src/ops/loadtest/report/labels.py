"""Labels of points, placed where they cover neither each other nor what is drawn."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

Points = NDArray[np.float64]

# Of the text, in points.
SIZE = 9
# Points from a label's point to its nearest edge, the nearest first.
AWAY = (5.0, 9.0, 14.0)
# Right or left of its point, above or below it, the best first.
SIDES = tuple(each for each in product((1, -1, 0), (1, -1, 0)) if each != (0, 0))
# Pixels between two samples of a line.
STEP = 2.0
# What it costs to cover a marker or a label, to leave the axes, to cover a line's sample, to lie further off.
COVERED, OUTSIDE, CROSSED, FAR = 1000, 3000, 2, 1


class Box(NamedTuple):
    """A rectangle, in points."""

    left: float
    low: float
    right: float
    high: float

    def overlaps(self, other: "Box") -> bool:
        """Say whether the two have a place in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high

    def within(self, other: "Box") -> bool:
        """Say whether all of it lies in the other."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.low <= self.low and self.high <= other.high

    def holds(self, points: Points) -> int:
        """Return how many of the points lie in it."""
        x, y = points[:, 0], points[:, 1]
        return int(np.sum((x >= self.left) & (x <= self.right) & (y >= self.low) & (y <= self.high)))


def place(axes: Axes, wanted: Sequence[tuple[str, tuple[float, float]]]) -> None:
    """Write each text beside its point. Call it when all else is drawn: it settles the figure's layout."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes are drawn on one"  # noqa: S101 — for the type checker
    figure.draw_without_rendering()
    scale = 72 / figure.dpi
    made = [axes.annotate(text, at, textcoords="offset points", xytext=(0, 0), fontsize=SIZE) for text, at in wanted]
    if not made:
        return
    points = axes.transData.transform([at for _, at in wanted]) * scale
    extents = [label.get_window_extent() for label in made]
    sizes = [(each.width * scale, each.height * scale) for each in extents]
    bounds = Box(*(float(each) * scale for each in axes.bbox.extents))
    found = boxes(points, sizes, _markers(axes, scale), _lines(axes) * scale, bounds)
    for label, point, box in zip(made, points, found, strict=True):
        label.set_in_layout(False)
        label.set(ha="left", va="bottom", position=(box.left - point[0], box.low - point[1]))


def boxes(
    points: Points, sizes: Sequence[tuple[float, float]], markers: Sequence[Box], lines: Points, bounds: Box
) -> list[Box]:
    """Return the room of each label: of all around its point that which covers the least, the earlier labels' too."""
    found: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        taken = (*markers, *found)
        tried = [(_cost(box, taken, lines, bounds) + FAR * far, box) for far, box in _around(point, size)]
        found.append(min(tried, key=lambda each: each[0])[1])
    return found


def _around(point: Points, size: tuple[float, float]) -> Iterator[tuple[int, Box]]:
    """Yield how far, and the room there."""
    for (far, away), side in product(enumerate(AWAY), SIDES):
        along = away / np.hypot(*side)
        left, low = (
            float(at + where * along - length * (1 - where) / 2)
            for at, where, length in zip(point, side, size, strict=True)
        )
        yield far, Box(left, low, left + size[0], low + size[1])


def _cost(box: Box, taken: Sequence[Box], lines: Points, bounds: Box) -> int:
    covered = sum(box.overlaps(each) for each in taken)
    return COVERED * covered + OUTSIDE * (not box.within(bounds)) + CROSSED * box.holds(lines)


def _markers(axes: Axes, scale: float) -> list[Box]:
    """Return the room of every marker, the ring around the choice too."""
    found = []
    for line in axes.lines:
        half = line.get_markersize() / 2 if line.get_marker() not in (None, "None", "") else 0.0
        for x, y in line.get_transform().transform(line.get_xydata()) * scale if half else ():
            found.append(Box(x - half, y - half, x + half, y + half))
    return found


def _lines(axes: Axes) -> Points:
    """Return samples along every line of the plot, error bars and limits too, in pixels."""
    paths = [line.get_transform().transform_path(line.get_path()) for line in axes.lines]
    paths += [bars.get_transform().transform_path(each) for bars in axes.collections for each in bars.get_paths()]
    samples = [np.empty((0, 2))]
    for path in paths:
        corners = np.asarray(path.vertices, dtype=np.float64)
        for start, end in pairwise(corners[np.all(np.isfinite(corners), axis=1)]):
            count = int(min(2000.0, np.hypot(*(end - start)) / STEP)) + 1
            samples.append(start + (end - start) * np.linspace(0, 1, count)[:, None])
    return np.concatenate(samples)
