"""A plan as people read it: tables and short sentences."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops.cloudrun.scaling import IDLE_SECONDS
from ops.plan.fits import Fit
from ops.plan.memory import GIB, MIB
from ops.plan.options import MOST_SLOTS
from ops.plan.planning import Plan
from ops.plan.settings import settings
from ops.plan.traffic_table import grid, requests

DISCLAIMER = "Sizes of buffers are those of llama.cpp's CPU graph; a GPU's differ by some per cent of the total."


def picture(plan: Plan) -> Group:
    """Return the whole plan."""
    parts = [
        *_head(plan),
        _memory(plan),
        _verdict(plan),
        _kv_types(plan),
        *requests(plan),
        *_start(plan),
        *_cost(plan),
    ]
    return Group(*parts, _settings(plan))


def size(size_bytes: float) -> str:
    """Return bytes in the unit that llama.cpp logs, or a thousand of them.

    >>> size(180 * 2**20)
    '180.0 MiB'
    """
    return f"{size_bytes / GIB:.2f} GiB" if abs(size_bytes) >= GIB else f"{size_bytes / MIB:.1f} MiB"


def _head(plan: Plan) -> Iterator[RenderableType]:
    shape, asked = plan.asked.shape, plan.asked
    times = f"{asked.models} x " if asked.models > 1 else ""
    yield Text(f"{times}{shape.name}  on {asked.device.name}", style="bold")
    yield Text(
        f"{shape.architecture}, {shape.quantization}, {len(shape.layers)} layers: {shape.attention}; "
        f"trained for {shape.trained_context} tokens",
        style="dim",
    )
    if asked.load.context > shape.trained_context:
        yield Text(
            f"{asked.load.context} tokens were asked for: Ollama takes the {shape.trained_context} it was trained for",
            style="yellow",
        )
    if plan.memory.slots != asked.load.parallel:
        yield Text(f"{asked.load.parallel} slots were asked for: Ollama gives {shape.architecture} one", style="yellow")
    if asked.load.has_full_windows and shape.window:
        yield Text("windows are kept as long as the context: LLAMA_ARG_SWA_FULL", style="yellow")


def _memory(plan: Plan) -> Table:
    own, load = plan.memory, plan.asked.load
    table = grid("Memory", "", "a slot", "a model", "all")
    each = size(own.kv_cache_of_a_slot)
    rows = [
        ("weights", "", own.weights),
        (f"KV cache, {load.kv_type}, {own.slots} x {own.context} tokens", each, own.kv_cache),
        ("compute buffers", "", own.compute),
        ("projector", "", own.projector),
    ]
    for name, slot, amount in rows:
        if amount:
            table.add_row(name, slot, size(amount), size(amount * plan.asked.models))
    table.add_row("total", "", size(own.total), size(plan.total), style="bold")
    table.add_row(f"may be used of the {'GPU' if plan.asked.device.is_gpu else 'container'}", "", "", size(plan.usable))
    if own.host:
        table.add_row(
            "beside it, in the host's memory", "", size(own.host), size(own.host * plan.asked.models), style="dim"
        )
    if plan.asked.device.is_gpu and (cache := plan.asked.prompt_cache_mib * MIB):
        table.add_row("prompt caches there, at most", "", size(cache), size(cache * plan.asked.models), style="dim")
    return table


def _verdict(plan: Plan) -> Text:
    if plan.left < 0:
        on_gpu = plan.asked.device.is_gpu
        what = "layers go to the CPU, and the agent reports OffloadedToCpu" if on_gpu else "the container is killed"
        return Text(f"does not fit: {size(-plan.left)} too many; {what}\n", style="bold red")
    if plan.host_left is not None and plan.host_left < 0:
        return Text(
            f"does not fit: {size(-plan.host_left)} too many for the container's {plan.asked.container_gib:g} GiB: "
            "it is killed; give it more, or less to prompt caches (LLAMA_ARG_CACHE_RAM)\n",
            style="bold red",
        )
    return Text(f"fits, {size(plan.left)} to spare\n", style="green")


def _kv_types(plan: Plan) -> Table:
    asked = plan.asked
    table = grid(
        "What each KV cache type would buy",
        "type",
        "KV cache",
        "total",
        "",
        f"largest context at {plan.memory.slots} slot(s)",
        f"most slots at {plan.context} tokens",
        "quality",
    )
    for fit in plan.fits:
        table.add_row(*_kv_row(fit, asked.models), style="bold" if fit.kv_type == asked.load.kv_type else "")
    return table


def _kv_row(fit: Fit, models: int) -> tuple[str, ...]:
    if fit.memory is None:
        return (fit.kv_type, "-", "-", "no", "-", "-", fit.reason)
    most = (
        f"{MOST_SLOTS} (llama.cpp's bound)"
        if fit.largest_parallel == MOST_SLOTS
        else str(fit.largest_parallel or "none")
    )
    return (
        fit.kv_type,
        size(fit.memory.kv_cache * models),
        size(fit.memory.total * models),
        "fits" if fit.fits else "no",
        str(fit.largest_context or "none"),
        most,
        fit.quality,
    )


def _start(plan: Plan) -> Iterator[RenderableType]:
    yield Text("\nStart", style="bold")
    budget = plan.budget
    if budget is None:
        yield Text("Give --load-rate, or --status of a running agent, for the startup probe's budget.", style="dim")
        return
    yield Text(
        f"{budget.reason(plan.asked.margin)}: failureThreshold {budget.threshold} x "
        f"periodSeconds {budget.period} = {budget.seconds} s of at most {budget.ceiling} s"
    )
    if not budget.fits:
        yield Text("more than the platform waits: a smaller model, or a faster source", style="bold red")
    elif not budget.fits_older_bound:
        yield Text(
            "older documents and the API's schema say 240 s: try `gcloud run services replace --dry-run` first",
            style="yellow",
        )


def _cost(plan: Plan) -> Iterator[RenderableType]:
    asked, prices = plan.asked, plan.prices
    yield Text("\nCost", style="bold")
    if plan.costs is None:
        yield Text(plan.price_unknown, style="yellow")
        return
    costs = plan.costs
    parts = f"{asked.vcpu:g} CPU, {asked.gib:g} GiB" + (f", {asked.device.name}" if asked.device.is_gpu else "")
    table = grid(f"US dollars, {prices.region}, list prices read {prices.read}", "", "")
    table.add_row(f"an hour of an instance ({parts})", f"{costs.usd_per_hour:.3f}")
    if not asked.least_instances:
        table.add_row(f"an idle tail of {IDLE_SECONDS / 60:.0f} minutes, the longest", f"{costs.usd_per_idle_tail:.3f}")
    if costs.usd_per_month is not None:
        table.add_row("a month of this traffic, starts and idle tails included", f"{costs.usd_per_month:.0f}")
    if costs.usd_per_million_tokens is not None:
        table.add_row("a million tokens of this traffic, the same", f"{costs.usd_per_million_tokens:.2f}")
    yield table


def _settings(plan: Plan) -> Table:
    title = "\nSettings" if plan.has_room else "\nSettings, which would not do: it does not fit"
    table = grid(title, "where", "name", "value", "from", "why")
    for each in settings(plan):
        table.add_row(each.place, each.name, str(each.value), each.source, each.reason)
    return table
