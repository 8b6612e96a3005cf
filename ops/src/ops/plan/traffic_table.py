"""Requests at once, and what a traffic makes of them, as people read it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ops.cloudrun.scaling import TARGET, Scaling
from ops.plan.planning import Choice, Plan

# One in a year.
SELDOM_PER_HOUR = 1e-4


def requests(plan: Plan) -> Iterator[RenderableType]:
    """Yield the rule of thumb, what Cloud Run scales on, and what this traffic makes of both."""
    asked, own = plan.asked, plan.memory
    batch = asked.ideal_batch or own.slots
    yield Text("\nRequests at once", style="bold")
    yield Text(
        f"(models x parallel) + (models x ideal batch) = {asked.models} x {own.slots} + {asked.models} x {batch} = "
        f"{plan.at_once}: containerConcurrency. {asked.models * own.slots} are computed, the rest wait in Ollama."
    )
    yield Text(
        "Cloud Run adds instances by CPU and by requests at once, never by GPU utilisation: over a minute each is kept "
        f"at {TARGET:.0%} of containerConcurrency, {TARGET * plan.at_once:.1f} requests here. Too high a value makes "
        "requests queue in a full instance, too low a one pays for half-empty GPUs; a load test finds the real one."
    )
    if not asked.device.is_gpu:
        yield Text(
            "Without a GPU mostly the CPU decides: llama.cpp computes on every core while any request is there, and "
            f"each instance is kept at {TARGET:.0%} of its CPU too."
        )
    if plan.scaling is None or asked.traffic is None:
        yield Text("Give --rate and --seconds to see instances, waits and cold starts.", style="dim")
        return
    scaling, queue = plan.scaling, plan.scaling.queue
    each = "each instance" if asked.models == 1 else f"each of {asked.models} models, which are asked equally often"
    table = grid(f"At {asked.traffic.rate:g} requests/s of {asked.traffic.seconds:g} s (M/M/c in {each})", "", "")
    table.add_row("instances", _instances(scaling), style="" if scaling.fits else "bold red")
    if not asked.device.is_gpu:
        table.add_row("time with a request, CPUs busy", f"{queue.busy_share:.0%}")
    table.add_row("slots busy", f"{min(queue.utilisation, 1):.0%}")
    table.add_row("requests that wait for a slot", f"{queue.waiting_share:.0%}")
    table.add_row("wait, mean", _seconds(queue.mean_wait_seconds))
    table.add_row("wait, 95th percentile", _seconds(queue.p95_wait_seconds))
    starts = scaling.cold_starts_per_hour
    table.add_row("starts from zero", f"{starts:.2g} an hour" if starts >= SELDOM_PER_HOUR else "next to none")
    table.add_row("requests that meet one", f"{scaling.cold_share:.1%}")
    yield table
    if plan.choices:
        yield _choices(plan)
    for reason in plan.left_out:
        yield Text(f"not compared, {reason}", style="yellow")


def _instances(scaling: Scaling) -> str:
    if not scaling.fits and scaling.on_target:
        return f"more than {scaling.instances}: not planned"
    if not scaling.fits:
        return f"{scaling.instances}, but maxScale is {scaling.limit}: requests pile up, then get 429"
    if not scaling.on_target:
        return f"{scaling.instances}, but maxScale is {scaling.limit}: above the {TARGET:.0%} target, waits as below"
    return str(scaling.instances)


def _choices(plan: Plan) -> Table:
    table = grid(
        "\nThroughput against latency and cost, by your load test",
        "slots",
        "at once",
        "requests/s each",
        "instances",
        "mean answer",
        "p95 wait",
        "$/month",
        "$/million tokens",
        "",
    )
    fitting = [
        (each.usd_per_month, each.seconds, each.slots) for each in plan.choices if each.fits and each.usd_per_month
    ]
    cheapest = min(fitting, default=(0.0, 0.0, 0))[2]
    for each in plan.choices:
        is_cheapest = each.slots == cheapest
        table.add_row(
            str(each.slots),
            str(each.at_once),
            f"{each.requests_per_second:.2f}",
            str(each.instances),
            _seconds(each.seconds),
            _seconds(each.p95_wait_seconds),
            "-" if each.usd_per_month is None else f"{each.usd_per_month:.0f}",
            "-" if each.usd_per_million_tokens is None else f"{each.usd_per_million_tokens:.2f}",
            _remark(each, is_cheapest),
            style="bold" if is_cheapest else "" if each.fits else "dim",
        )
    return table


def _remark(choice: Choice, is_cheapest: bool) -> str:
    if not choice.fits:
        return "does not fit"
    above = "" if choice.on_target else f"above the {TARGET:.0%} target"
    return ", ".join(filter(None, ["cheapest" if is_cheapest else "", above]))


def _seconds(seconds: float) -> str:
    return "without end" if math.isinf(seconds) else f"{seconds:.2f} s"


def grid(title: str, *headings: str) -> Table:
    """Return an empty table: words to the left, numbers to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        is_number = index > 0 and heading not in ("quality", "why", "name", "value", "from") and bool(heading)
        table.add_column(heading, justify="right" if is_number else "left", overflow="fold")
    return table
