"""The picture of the gap: for each gate one start as a waterfall, and the requests that it let in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lab.measuring.gap import Start

# Each phase from the end of the one before; told apart without colour by their order, which is the same in all rows.
PHASES = {"port_open": "#b8c0cc", "load": "#7a5195", "first_token": "#7a5195", "warm_up": "#ef8d32"}
LABELS = {"port_open": "Ollama starts", "load": "model is loaded", "warm_up": "model is warmed up"}
SERVING, EARLY, LATE = "#2e8b57", "#d62728", "#2e8b57"
HEIGHT = 0.36
# Seconds: a gate that opens later than this after READY kept a ready model waiting.
WAITED = 0.02


def draw(starts: Mapping[str, Start], path: Path) -> None:
    """Write the picture as SVG: the same bytes for the same figures."""
    mpl.rcParams.update({"svg.hashsalt": "gap", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10})
    figure = Figure(figsize=(9, 0.8 * len(starts) + 1.2), layout="constrained")
    axes = figure.subplots()
    end = max(max(start.ready, start.open) for start in starts.values()) + 0.7
    for row, start in enumerate(starts.values()):
        _row(axes, row, start, end)
    axes.set_yticks(range(len(starts)), list(starts))
    axes.set_ylim(len(starts) - 0.4, -0.6)
    axes.set_xlim(0, end)
    axes.set_xlabel("seconds since the start of both containers")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    _legend(figure)
    figure.savefig(path, format="svg", metadata={"Date": None, "Title": "When five gates open, and whom they let in"})


def _row(axes: Axes, row: int, start: Start, end: float) -> None:
    since = 0.0
    for phase, colour in PHASES.items():
        if (at := start.phases.get(phase)) is not None:
            axes.barh(row, at - since, HEIGHT, left=since, color=colour)
            since = at
    axes.barh(row, end - start.ready, HEIGHT, left=start.ready, color=SERVING, alpha=0.25)
    axes.plot([start.open, start.open], [row - 0.42, row + 0.28], color="black", linewidth=2.5)
    early = [request.let_in for request in start.early]
    served = [request.let_in for request in start.requests if request not in start.early and request.let_in < end]
    axes.plot(early, [row + 0.32] * len(early), "x", color=EARLY, markersize=6)
    axes.plot(served, [row + 0.32] * len(served), "o", color=LATE, markersize=3.5)
    axes.annotate(
        _verdict(start, len(early)), (start.open, row - 0.34), (4, 0), textcoords="offset points", fontsize=8.5
    )


def _verdict(start: Start, early: int) -> str:
    if start.open < start.ready:
        return f"opens {start.ready - start.open:.1f} s early: {early} requests let in that wait for the model"
    late = start.open - start.ready
    return f"opens {late:.2f} s after the model is ready" if late > WAITED else f"opens {late * 1000:.0f} ms after"


def _legend(figure: Figure) -> None:
    patches = [Patch(color=PHASES[phase], label=label) for phase, label in LABELS.items()]
    marks = [
        Line2D([], [], color="black", linewidth=2.5, label="the gate opens"),
        Line2D([], [], color=EARLY, marker="x", linestyle="", label="let in early"),
        Line2D([], [], color=LATE, marker="o", markersize=4, linestyle="", label="let in, answered at once"),
    ]
    figure.legend(
        handles=[*patches, Patch(color=SERVING, alpha=0.25, label="model answers"), *marks],
        loc="outside upper center",
        ncols=4,
        frameon=False,
        fontsize=9,
    )
