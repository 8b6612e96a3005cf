"""The plots, drawn once for the page (the page's own ink, so that dark and light both read) and once as PNG."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ops.loadtest import figures, statistics, words
from ops.loadtest.report import pareto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from ops.loadtest.conclusion import Conclusion
    from ops.loadtest.knee import Measured
    from ops.loadtest.limits import Limit
    from ops.loadtest.run import Run
    from ops.loadtest.step import Step

INK = "#102030"
"""Stands for the page's own colour of text in an SVG; no other part of a plot has it."""
PRINT_INK = "#1f2328"
COLOURS = ("#3b82c4", "#d9822b", "#2a9d6f", "#9b6bc7", "#d0554f", "#2b9aa8", "#a08020", "#808890")
"""Read on white and on near-black; the markers differ too, for eyes that do not tell colours apart."""
MARKERS = "osD^vPX*"
WIDTH = 5.0
"""Inches: with text of 10 points it still reads when a phone shows it 350 pixels wide."""
SPREAD = 30.0
"""Times above which an axis of times is logarithmic."""
NAMES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "end-to-end latency"}
CACHED = re.compile(r"(<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot: how it is drawn, and what it is called for people and for who hears it read out."""

    name: str
    title: str
    says: str
    draw: Callable[[Axes], None]
    height: float = 3.4


def latency_figure(limits: Sequence[Limit]) -> str:
    """Return the latency that the plots show: that of the first limit on one, else end to end, 95th percentile."""
    return next((limit.figure for limit in limits if limit.latency), "e2e_p95")


def named(figure: str) -> str:
    """Write a latency figure's name."""
    latency, _, percent = figure.partition("_")
    return f"{NAMES[latency]}, {percent}"


def plots(run: Run, limits: Sequence[Limit], found: Conclusion) -> list[Plot]:
    """Return the plots that the run has figures for."""
    shown = [each for each in found.measured if figures.values(each.figures, latency_figure(limits)) is not None]
    if not shown:
        return []
    name = named(latency_figure(limits))
    made = [
        Plot(
            "latency-throughput",
            "Latency against throughput",
            f"One point for each load: output tokens a second to the right, {name} upwards, with 95 % intervals. "
            "Right and low is good; where a line turns upwards, more load only waits.",
            lambda axes: _latency(axes, shown, limits, found),
        )
    ]
    made.append(
        Plot(
            "cost-latency",
            "Cost against latency",
            f"One point for each load: {name} to the right, cost upwards. Left and low is good; the dashed line joins "
            "the loads that no other beats in both (Pareto front).",
            lambda axes: _cost(axes, shown, limits, found),
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
    plot.draw(canvas.subplots())
    return canvas


def _ink() -> str:
    return str(mpl.rcParams["text.color"])


def _series(measured: Sequence[Measured]) -> Iterator[tuple[str, list[Measured], str, str]]:
    """Yield a line for each number of slots: its label, points, colour and marker."""
    slots = sorted({each.parallel or 0 for each in measured})
    for number, parallel in enumerate(slots):
        points = sorted((each for each in measured if (each.parallel or 0) == parallel), key=lambda each: each.load)
        label = words.plural(parallel, "slot") if parallel else "the service"
        yield label, points, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def _latency(axes: Axes, shown: Sequence[Measured], limits: Sequence[Limit], found: Conclusion) -> None:
    name = latency_figure(limits)
    for label, points, colour, marker in _series(shown):
        x, y = ([each.figures[key] for each in points] for key in ("tokens_per_second", name))
        axes.errorbar(
            [each.value for each in x],
            [each.value for each in y],
            xerr=_bars(x),
            yerr=_bars(y),
            label=label,
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.4,
            elinewidth=0.8,
        )
        for each, across, up in zip(points, x, y, strict=True):
            axes.annotate(
                f"{each.load.level:g}", (across.value, up.value), (4, 5), textcoords="offset points", fontsize=8
            )
    _mark(axes, found, lambda each: (each.throughput, each.figures[name].value))
    _limit_lines(axes.axhline, limits, name)
    axes.set_xlabel("output tokens a second")
    axes.set_xlim(left=0)
    _time_axis(axes, "y", [each.figures[name].value for each in shown])
    axes.set_ylabel(named(name))
    _legend(axes)


def _cost(axes: Axes, shown: Sequence[Measured], limits: Sequence[Limit], found: Conclusion) -> None:
    name = latency_figure(limits)
    priced = found.usd_per_second is not None

    def point(each: Measured) -> tuple[float, float]:
        price = each.usd_per_million_tokens
        cost = price.value if price is not None else 1000 / each.throughput
        return each.figures[name].value, cost

    able = [each for each in shown if each.throughput > 0]
    for label, points, colour, marker in _series(able):
        x, y = zip(*map(point, points), strict=True)
        axes.plot(x, y, label=label, color=colour, marker=marker, markersize=5, linewidth=0)
        for each in points:
            axes.annotate(f"{each.load.level:g}", point(each), (4, 5), textcoords="offset points", fontsize=8)
    front = pareto.front([point(each) for each in able])
    axes.plot(*zip(*front, strict=True), color=_ink(), linestyle="--", linewidth=1, alpha=0.6, label="Pareto front")
    _mark(axes, found, point)
    _limit_lines(axes.axvline, limits, name)
    _time_axis(axes, "x", [point(each)[0] for each in able])
    axes.set_xlabel(named(name))
    axes.set_ylabel("US$ for a million tokens" if priced else "instance seconds for 1000 tokens")
    axes.set_ylim(bottom=0)
    _legend(axes)


def _distribution(latency: str, steps: Sequence[Step], found: Conclusion) -> Plot:
    return Plot(
        f"{latency}-distribution",
        f"{NAMES[latency].capitalize()}, by load",
        f"For each load the {NAMES[latency]}: the box holds the middle half of the requests, its line is the median, "
        "the whiskers reach from the 5th to the 95th percentile, the dot is the 99th.",
        lambda axes: _boxes(axes, latency, steps, found),
        height=max(2.2, 0.9 + 0.24 * len(steps)),
    )


def _boxes(axes: Axes, latency: str, steps: Sequence[Step], found: Conclusion) -> None:
    slots = sorted({step.parallel or 0 for step in steps})
    chosen = found.choice.chosen
    rows = sorted(steps, key=lambda step: (step.parallel or 0, step.load), reverse=True)
    everything: list[float] = []
    for row, step in enumerate(rows):
        values = [
            value
            for each in step.usable
            for record in each.measured
            if record.error is None and (value := getattr(record, latency)) is not None
        ]
        if not values:
            continue
        low, first, middle, third, high, far = (statistics.percentile(values, p) for p in (5, 25, 50, 75, 95, 99))
        everything += [max(low, 1e-6), far]
        colour = COLOURS[slots.index(step.parallel or 0) % len(COLOURS)]
        box = {"med": middle, "q1": first, "q3": third, "whislo": low, "whishi": high, "fliers": [far]}
        lines = {"color": colour, "linewidth": 1.2}
        axes.bxp(
            [box],
            positions=[row],
            orientation="horizontal",
            widths=0.6,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": colour, "alpha": 0.45, "edgecolor": colour},
            medianprops={"color": _ink(), "linewidth": 1.4},
            whiskerprops=lines,
            capprops=lines,
            flierprops={"marker": ".", "markeredgecolor": colour, "markerfacecolor": colour, "markersize": 4},
        )
    labels = [f"{'▶ ' if chosen and step.key == (chosen.parallel, chosen.load) else ''}{_short(step)}" for step in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=9)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(visible=False, axis="y")
    _time_axis(axes, "x", everything)
    axes.set_xlabel(NAMES[latency])


def _short(step: Step) -> str:
    return str(step.load) if step.parallel is None else f"{step.load} · {step.parallel} sl."


def _bars(shown: Sequence[figures.Figure]) -> list[list[float]]:
    lows = [each.value - (each.value if each.low is None else min(each.low, each.value)) for each in shown]
    highs = [(each.value if each.high is None else max(each.high, each.value)) - each.value for each in shown]
    return [lows, highs]


def _mark(axes: Axes, found: Conclusion, point: Callable[[Measured], tuple[float, float]]) -> None:
    if found.choice.chosen is None:
        return
    x, y = point(found.choice.chosen)
    axes.plot(
        [x],
        [y],
        marker="o",
        markersize=14,
        fillstyle="none",
        color=_ink(),
        markeredgewidth=1.8,
        linewidth=0,
        label="chosen",
    )


def _limit_lines(line: Callable[..., object], limits: Sequence[Limit], name: str) -> None:
    for limit in limits:
        if limit.figure == name:
            line(limit.bound, color="#d0554f", linestyle=":", linewidth=1.4, label=f"limit {limit.text}")


def _time_axis(axes: Axes, which: str, values: Sequence[float]) -> None:
    """Write times as people do, on a logarithmic axis where they spread far."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    positive = [value for value in values if value > 0]
    if positive and max(positive) / min(positive) > SPREAD:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = np.log10(max(positive) / min(positive))
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.5 else (1.0, 3.0)))  # noqa: PLR2004 — labels that fit
        axis.set_minor_formatter(NullFormatter())
    else:
        (axes.set_xlim if which == "x" else axes.set_ylim)(0, None)
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value == 0 else words.seconds(value)))


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(
        handles, labels, loc="outside upper left", ncols=3, fontsize=8.5, handlelength=1.6, columnspacing=1.2
    )
