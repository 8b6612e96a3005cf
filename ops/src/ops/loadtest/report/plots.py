"""The plots, drawn once for the page (the page's own ink, so that dark and light both read) and once as PNG."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas

from ops.loadtest import figure
from ops.loadtest.conclusion import Conclusion
from ops.loadtest.limits import Limit
from ops.loadtest.record import Step
from ops.loadtest.report import draw
from ops.loadtest.run import Run

# Stands for the page's own colour of text in an SVG; no other part of a plot has it.
INK = "#102030"
PRINT_INK = "#1f2328"
# Inches: with text of 10 points it still reads when a phone shows it 320 pixels wide.
WIDTH = 4.6
CACHED = re.compile(r"(<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot: how it is drawn, and what it is called for people and for who hears it read out."""

    name: str
    title: str
    says: str
    draw: Callable[[Axes], None]
    height: float = 3.4


def plots(run: Run, limits: Sequence[Limit], found: Conclusion) -> list[Plot]:
    """Return the plots that the run has figures for."""
    shown = [each for each in found.measured if figure.value(each.figures, draw.latency_figure(limits)) is not None]
    if not shown:
        return []
    name = draw.named(draw.latency_figure(limits))
    made = [
        Plot(
            "latency-throughput",
            "Latency against throughput",
            f"One point for each load: output tokens a second to the right, {name} upwards, with 95 % intervals. "
            "Right and low is good; where a line turns upwards, more load only waits.",
            lambda axes: draw.latency(axes, shown, limits, found),
        )
    ]
    made.append(
        Plot(
            "cost-latency",
            "Cost against latency",
            f"One point for each load: {name} to the right, cost upwards. Left and low is good; the dashed line joins "
            "the loads that the service keeps up with and no other such beats in both (Pareto front).",
            lambda axes: draw.cost(axes, shown, limits, found),
        )
    )
    steps = [step for step in run.steps if step.usable]
    there = {name.partition("_")[0] for each in shown for name in each.figures}
    made += [_distribution(latency, steps, found) for latency in ("ttft", "tpot") if latency in there]
    return made


def svg(plot: Plot) -> str:
    """Return the plot as an SVG for the page: its ink is the page's, its ground is clear, and it can be read out."""
    with mpl.rc_context(
        _style(INK) | {"svg.fonttype": "none", "svg.hashsalt": plot.name, "svg.id": f"plot-{plot.name}"}
    ):
        text = io.StringIO()
        _canvas(plot).savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = CACHED.sub("", text.getvalue()).replace(INK, "currentColor")
    labels = f'role="img" aria-labelledby="{plot.name}-title {plot.name}-desc"'
    head = f'<title id="{plot.name}-title">{plot.title}</title><desc id="{plot.name}-desc">{plot.says}</desc>'
    return re.sub(r"<svg ([^>]*)>", lambda match: f"<svg {labels} {match[1]}>{head}", drawn, count=1).strip()


def save(plot: Plot, folder: Path) -> None:
    """Write the plot as SVG and as PNG, on white."""
    with mpl.rc_context(_style(PRINT_INK) | {"svg.fonttype": "none", "svg.hashsalt": plot.name}):
        canvas = _canvas(plot)
        canvas.savefig(folder / f"{plot.name}.svg", facecolor="white", metadata={"Date": None})
        canvas.savefig(folder / f"{plot.name}.png", facecolor="white", dpi=200)


def _style(ink: str) -> Any:  # matplotlib's own type spells out every key
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color")
    return dict.fromkeys(names, ink) | {
        "font.size": 10,
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.18,
        "legend.frameon": False,
    }


def _canvas(plot: Plot) -> Canvas:
    canvas = Canvas(figsize=(WIDTH, plot.height), layout="constrained")
    FigureCanvasAgg(canvas)  # it can tell how large a text is
    plot.draw(canvas.subplots())
    return canvas


def _distribution(latency: str, steps: Sequence[Step], found: Conclusion) -> Plot:
    return Plot(
        f"{latency}-distribution",
        f"{draw.NAMES[latency].capitalize()}, by load",
        f"For each load the {draw.NAMES[latency]}: the box holds the middle half of the requests, its line is the "
        "median, the whiskers reach from the 5th to the 95th percentile, the dot is the 99th.",
        lambda axes: draw.boxes(axes, latency, steps, found),
        height=max(2.2, 0.9 + 0.24 * len(steps)),
    )
