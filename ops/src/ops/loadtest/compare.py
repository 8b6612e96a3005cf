"""Two runs held against each other: what differs beyond noise."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.loadtest import figures, run, statistics, words
from ops.loadtest.errors import InputError
from ops.loadtest.record import Repetition, Step
from ops.loadtest.run import Run

# A run has dozens of figures: of those that do not differ, one in 100 is taken for a difference, not one in 20.
CONFIDENCE = 0.99
TIMES = ("ttft", "tpot", "e2e")
PERCENTS = (50, 95)
# Of a ratio's logarithm: what is beyond is no number to print.
MOST = 50.0
NOT_SETTINGS = {"target"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of one step in both runs. The ratio is second over first, with its 99 % interval, None: too few."""

    step: str
    figure: str
    first: float
    second: float
    ratio: float
    low: float | None
    high: float | None

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval leaves out 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def show(first: Path, second: Path, out: Path | None, console: Console) -> int:
    """Print what differs, and write it as JSON where that is wanted; returns the exit status.

    Raises:
        InputError: a file is no run, or the two have no step in common.

    """
    ours, theirs = run.read(first)[0], run.read(second)[0]
    found = compare(ours, theirs)
    if not found:
        raise InputError(f"{first} and {second}: have no load in common that both measured; nothing can be compared")
    changed = settings_of(ours, theirs)
    addresses = [f"{name}: {each.settings.get('target')}" for name, each in (("first", ours), ("second", theirs))]
    for line in [*addresses, *(changed or ["the same settings"])]:
        console.print(line, markup=False, soft_wrap=True)
    differs = [each for each in found if each.beyond_noise]
    console.print(_table(found))
    steps = words.plural(len({each.step for each in found}), "load")
    console.print(f"{len(differs)} of {len(found)} figures at {steps} differ beyond noise (99 % intervals)")
    if out is not None:
        content = [asdict(each) | {"beyond_noise": each.beyond_noise} for each in found]
        run.write(out, {"first": str(first), "second": str(second), "settings": changed, "figures": content})
    return 0


def settings_of(first: Run, second: Run) -> list[str]:
    """Return a line for each setting, and each fact about the server, that differs."""
    ours, theirs = (each.settings | each.environment for each in (first, second))
    return [
        f"{name}: {_plain(ours.get(name))} in the first, {_plain(theirs.get(name))} in the second"
        for name in sorted((ours.keys() | theirs.keys()) - NOT_SETTINGS)
        if ours.get(name) != theirs.get(name)
    ]


def compare(first: Run, second: Run) -> list[Difference]:
    """Return every figure of the loads that both runs have measured."""
    found = []
    for ours in first.steps:
        theirs = second.find(ours.key)
        if theirs is not None and ours.usable and theirs.usable:
            found += list(_step(ours, theirs))
    return found


def _step(ours: Step, theirs: Step) -> Iterator[Difference]:
    both = (ours.usable, theirs.usable)
    for name, weight in (("requests_per_second", figures.one), ("tokens_per_second", figures.tokens)):
        yield from _ratio(str(ours), name, *(figures.rates(each, weight) for each in both))
    for name in TIMES:
        series = [[times for each in run_ if (times := _times(each, name))] for run_ in both]
        for percent in PERCENTS:
            found = [[statistics.percentile(times, percent) for times in run_] for run_ in series]
            yield from _ratio(str(ours), f"{name}_p{percent}", *found)


def _times(repetition: Repetition, name: str) -> list[float]:
    values = (getattr(record, name) for record in repetition.measured if record.error is None)
    return [value for value in values if value is not None]


def _ratio(step: str, figure: str, ours: Sequence[float], theirs: Sequence[float]) -> Iterator[Difference]:
    """Yield the ratio of two means over repetitions (geometric: a ratio's noise is one of logarithms)."""
    if not ours or not theirs or not any(ours):
        return
    low = high = None
    if min(*ours, *theirs) > 0:
        before, after = ([math.log(value) for value in each] for each in (ours, theirs))
        first, second = (math.exp(sum(each) / len(each)) for each in (before, after))
        if bounds := statistics.difference_interval(before, after, CONFIDENCE):
            low, high = (math.exp(min(each, MOST)) for each in bounds)
    else:
        first, second = (sum(each) / len(each) for each in (ours, theirs))
    yield Difference(step, figure, first, second, second / first, low, high)


def _table(found: Sequence[Difference]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("load", "figure", "first", "second", "change", "99 % interval", ""):
        table.add_column(name, justify="left" if name in ("load", "figure", "") else "right", no_wrap=True)
    before = ""
    for each in found:
        write = words.number if each.figure.endswith("per_second") else words.seconds
        bounds = words.NONE if each.low is None or each.high is None else f"{_change(each.low)} to {_change(each.high)}"
        noise = "noise" if each.low is not None else "too few"
        verdict = Text("differs", "bold") if each.beyond_noise else Text(noise, "dim")
        load = "" if each.step == before else each.step
        table.add_row(load, each.figure, write(each.first), write(each.second), _change(each.ratio), bounds, verdict)
        before = each.step
    return table


def _change(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
