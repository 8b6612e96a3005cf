"""The labels of a plot's points: none over another, over a marker, or outside."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ops.loadtest import conclusion
from ops.loadtest.conclusion import Rule
from ops.loadtest.loads import Load, Loop
from ops.loadtest.record import Record, Repetition, Step
from ops.loadtest.report import draw, labels, plots
from ops.loadtest.report.labels import Box
from ops.loadtest.run import Run

BOUNDS = Box(0, 0, 300, 200)
NO_LINES = np.empty((0, 2))
spread = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 6)), min_size=1, max_size=8, unique=True)


def marker(x: float, y: float, half: float = 3.0) -> Box:
    """Return the room of a marker."""
    return Box(x - half, y - half, x + half, y + half)


@given(spread)
def test_labels_cover_neither_markers_nor_each_other(cells: list[tuple[int, int]]) -> None:
    """However the points lie, as long as there is some room between them; and every label is inside."""
    points = np.array([(10 + 30 * x, 10 + 28 * y) for x, y in cells], dtype=float)
    markers = [marker(x, y) for x, y in points]
    found = labels.boxes(points, [(11.0, 9.0)] * len(points), markers, NO_LINES, BOUNDS)
    assert not any(one.overlaps(other) for one, other in combinations((*found, *markers), 2))
    assert all(box.within(BOUNDS) for box in found)


def test_points_in_one_place_have_their_labels_around_it() -> None:
    """Four loads of the same figures: each can be read."""
    points = np.array([(100.0, 100.0)] * 4)
    found = labels.boxes(points, [(11.0, 9.0)] * 4, [marker(100, 100, 8)], NO_LINES, BOUNDS)
    assert not any(one.overlaps(other) for one, other in combinations((*found, marker(100, 100, 8)), 2))


def test_a_label_keeps_off_a_line_where_it_can() -> None:
    """A line that goes up to the right leaves the upper left."""
    line = np.array([(100.0 + n, 100.0 + n) for n in range(50)])
    (box,) = labels.boxes(np.array([(100.0, 100.0)]), [(11.0, 9.0)], [marker(100, 100)], line, BOUNDS)
    assert not box.holds(line)


def test_labels_are_where_they_were_planned() -> None:
    """On real axes, with the layout settled: no text lies over another one, nor over the ring around the choice."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    at = [(1.0, 1.0), (1.02, 1.0), (1.0, 1.03), (1.05, 1.05), (3.0, 9.0)]
    axes.plot(*zip(*at, strict=True), marker="s", markersize=5)
    (ring,) = axes.plot([1.0], [1.0], marker="o", markersize=14, fillstyle="none", linewidth=0)
    labels.place(axes, [(str(n), point) for n, point in enumerate(at)])
    figure.draw_without_rendering()
    extents = [text.get_window_extent() for text in axes.texts]
    assert len(extents) == len(at)
    assert not any(one.overlaps(other) for one, other in combinations(extents, 2))
    assert not any(ring.get_window_extent().overlaps(each) for each in extents)


def test_a_logarithmic_axis_says_so() -> None:
    """Its label does; that of an axis from 0 does not."""
    axes = Figure().subplots()
    draw._time_axis(axes, "y", "latency", [0.01, 5.0])
    draw._time_axis(axes, "x", "latency", [0.01, 0.05])
    assert (axes.get_yscale(), axes.get_ylabel()) == ("log", "latency, log scale")
    assert (axes.get_xscale(), axes.get_xlabel()) == ("linear", "latency")


@pytest.mark.parametrize("name", ["latency-throughput", "cost-latency"])
def test_the_ring_around_the_choice_is_not_cut(name: str) -> None:
    """The chosen load is the last one, at the edge of the data; its ring lies within the axes or is not clipped."""
    records = tuple(Record(float(at), float(at), at + 1.0, at + 0.5, at + 1.0, 8, 10) for at in range(40))
    steps = [Step(4, Load(Loop.CLOSED, 4.0), [Repetition(records * 4, 1, 38)])]
    run = Run(settings={}, environment={}, steps=steps)
    found = conclusion.conclude(run, (), Rule(), 0.0004)
    (plot,) = (each for each in plots.plots(run, (), found) if each.name == name)
    axes = Figure().subplots()
    plot.draw(axes)
    assert [line.get_clip_on() for line in axes.lines if line.get_marker() not in ("None", None)] == [False, False]


def test_boxes_end_before_the_edge() -> None:
    """The slowest request's dot has room to its right."""
    records = tuple(Record(float(at), float(at), at + 1.0, at + 0.5, at + 1.0, 8, 10) for at in range(40))
    run = Run(settings={}, environment={}, steps=[Step(4, Load(Loop.CLOSED, 1.0), [Repetition(records, 1, 38)])])
    axes = Figure().subplots()
    draw.boxes(axes, "ttft", run.steps, conclusion.conclude(run, (), Rule(), None))
    assert axes.get_xlim()[1] > 0.5 * 1.05
