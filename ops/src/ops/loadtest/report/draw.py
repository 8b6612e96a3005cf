"""What each plot shows, drawn on axes."""

from collections.abc import Callable, Iterator, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ops.loadtest import statistics, words
from ops.loadtest.conclusion import Conclusion
from ops.loadtest.figure import Figure
from ops.loadtest.knee import Measured
from ops.loadtest.limits import Limit
from ops.loadtest.record import Step
from ops.loadtest.report import labels, pareto

# Read on white and on near-black; the markers differ too, for eyes that do not tell colours apart.
COLOURS = ("#3b82c4", "#d9822b", "#2a9d6f", "#9b6bc7", "#d0554f", "#2b9aa8", "#a08020", "#808890")
MARKERS = "osD^vPX*"
# Room around the points, as a share of the axis: the ring around the choice fits into it.
MARGIN = 0.12
# Times above which an axis of times is logarithmic.
SPREAD = 30.0
NAMES = {"ttft": "time to first token", "tpot": "time per output token", "e2e": "end-to-end latency"}


def latency_figure(limits: Sequence[Limit]) -> str:
    """Return the latency that the plots show: that of the first limit on one, else end to end, 95th percentile."""
    return next((limit.figure for limit in limits if limit.latency), "e2e_p95")


def named(figure: str) -> str:
    """Write a latency figure's name."""
    latency, _, percent = figure.partition("_")
    return f"{NAMES[latency]}, {percent}"


def _ink() -> str:
    return str(mpl.rcParams["text.color"])


def _series(measured: Sequence[Measured]) -> Iterator[tuple[str, list[Measured], str, str]]:
    """Yield a line for each number of slots and loop: its label, points, colour and marker."""
    loops = {each.load.loop for each in measured}
    lines = sorted({(each.parallel or 0, each.load.loop) for each in measured})
    for number, (parallel, loop) in enumerate(lines):
        mine = (each for each in measured if (each.parallel or 0, each.load.loop) == (parallel, loop))
        label = words.plural(parallel, "slot") if parallel else "the service"
        label += f", {loop} loop" if len(loops) > 1 else ""
        points = sorted(mine, key=lambda each: each.load)
        yield label, points, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def latency(axes: Axes, shown: Sequence[Measured], limits: Sequence[Limit], found: Conclusion) -> None:
    """Draw latency over throughput, a line for each number of slots."""
    name = latency_figure(limits)
    axes.margins(MARGIN)
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
            clip_on=False,
        )
    _mark(axes, found, lambda each: (each.throughput, each.figures[name].value))
    _limit_lines(axes.axhline, limits, name)
    axes.set_xlabel("output tokens a second")
    axes.set_xlim(left=0)
    _time_axis(axes, "y", named(name), [each.figures[name].value for each in shown])
    _legend(axes)
    labels.place(axes, [(f"{each.load.level:g}", (each.throughput, each.figures[name].value)) for each in shown])


def cost(axes: Axes, shown: Sequence[Measured], limits: Sequence[Limit], found: Conclusion) -> None:
    """Draw cost over latency, with the Pareto front."""
    name = latency_figure(limits)
    axes.margins(MARGIN)
    priced = found.usd_per_second is not None

    def point(each: Measured) -> tuple[float, float]:
        price = each.usd_per_million_tokens
        cost = price.value if price is not None else 1000 / each.throughput
        return each.figures[name].value, cost

    able = [each for each in shown if each.throughput > 0]
    for label, points, colour, marker in _series(able):
        x, y = zip(*map(point, points), strict=True)
        axes.plot(x, y, label=label, color=colour, marker=marker, markersize=5, linewidth=0, clip_on=False)
    if front := pareto.front([point(each) for each in able if each.keeps_up()]):
        axes.plot(*zip(*front, strict=True), color=_ink(), linestyle="--", linewidth=1, alpha=0.6, label="Pareto front")
    _mark(axes, found, point)
    _limit_lines(axes.axvline, limits, name)
    _time_axis(axes, "x", named(name), [point(each)[0] for each in able])
    axes.set_ylabel("US$ for a million tokens" if priced else "instance seconds for 1000 tokens")
    axes.set_ylim(bottom=0)
    _legend(axes)
    labels.place(axes, [(f"{each.load.level:g}", point(each)) for each in able])


def boxes(axes: Axes, latency: str, steps: Sequence[Step], found: Conclusion) -> None:
    """Draw a box for each load, the least on top."""
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
    rows_named = [
        f"{'▶ ' if chosen and step.key == (chosen.parallel, chosen.load) else ''}{_short(step)}" for step in rows
    ]
    axes.set_yticks(range(len(rows)), rows_named, fontsize=9)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(visible=False, axis="y")
    if everything:
        axes.set_xlim(right=max(everything) * (1 + MARGIN))
    _time_axis(axes, "x", NAMES[latency], everything)


def _short(step: Step) -> str:
    return str(step.load) if step.parallel is None else f"{step.load} · {step.parallel} sl."


def _bars(shown: Sequence[Figure]) -> list[list[float]]:
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
        clip_on=False,
    )


def _limit_lines(line: Callable[..., object], limits: Sequence[Limit], name: str) -> None:
    for limit in limits:
        if limit.figure == name:
            line(limit.bound, color="#d0554f", linestyle=":", linewidth=1.4, label=f"limit {limit.text}")


def _time_axis(axes: Axes, which: str, label: str, values: Sequence[float]) -> None:
    """Write times as people do; where they spread far the axis is logarithmic, and its label says so."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    positive = [value for value in values if value > 0]
    if positive and max(positive) / min(positive) > SPREAD:
        (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        decades = np.log10(max(positive) / min(positive))
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2.5 else (1.0, 3.0)))  # noqa: PLR2004 — labels that fit
        axis.set_minor_formatter(NullFormatter())
        label += ", log scale"
    else:
        (axes.set_xlim if which == "x" else axes.set_ylim)(0, None)
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: "0" if value == 0 else words.seconds(value)))
    axis.set_label_text(label)


def _legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    axes.figure.legend(
        handles, names, loc="outside upper left", ncols=3, fontsize=9, handlelength=1.6, columnspacing=1.2
    )
