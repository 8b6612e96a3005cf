"""`ops plan`: reads the model and the service, plans, prints, and writes what was planned."""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ops import yaml_edit
from ops.plan import cost, planning, startup, table
from ops.plan.asked import Asked
from ops.plan.concurrency import Traffic
from ops.plan.document import document
from ops.plan.errors import PlanError, PlanRefused, SourceError
from ops.plan.gpus import DEVICES
from ops.plan.memory import GIB, Load
from ops.plan.options import DEFAULT_PROMPT_CACHE_MIB
from ops.plan.service import Given, Service
from ops.plan.settings import settings
from ops.plan.sources import shape_of
from ops.up import agent_status
from ops.up.printer import standard_output

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from ops.plan.planning import Plan

FITS, DOES_NOT_FIT = 0, 1
INTERRUPTED = 130
"""A shell's status for a program that SIGINT ended."""
STATUS_SECONDS = 5.0
"""For an agent's /status, answered from memory; through a proxy to Cloud Run it takes a second."""


def run(arguments: argparse.Namespace, console: Console | None = None) -> int:
    """Plan. Returns 0: it fits; 1: it does not, or something cannot be read; 2: it cannot be asked for so."""
    try:
        opened = _Opened(arguments.write) if arguments.write else None
        plan = planning.plan(_asked(arguments, opened.service.given if opened else None), _prices(arguments))
        changes = _write(opened, plan) if opened else []
    except PlanError as error:
        sys.stderr.write(f"ops plan: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("ops plan: interrupted; nothing was written\n")
        return INTERRUPTED
    with suppress(BrokenPipeError):  # a reader that has seen enough, such as `head`
        _show(arguments, plan, changes, console or standard_output())
    if plan.left < 0 and opened:
        sys.stderr.write(f"ops plan: {arguments.write}: not written, because the plan does not fit; see what would\n")
    return FITS if plan.left >= 0 else DOES_NOT_FIT


def _show(arguments: argparse.Namespace, plan: Plan, changes: list[str], console: Console) -> None:
    if arguments.format == "json":
        shown = {**document(plan), "changes": changes} if arguments.write else document(plan)
        console.out(json.dumps(shown, indent=2, ensure_ascii=False), highlight=False)
        return
    console.print(table.picture(plan))
    if arguments.write and plan.left >= 0:
        lines = [f"{arguments.write}: {len(changes)} changed", *changes]
        if changes:
            lines.append("Comments stay as they were: change those that explain the old numbers. Then:")
        for line in [*lines, f"ops lint {arguments.write}"]:
            console.print(line, soft_wrap=True, markup=False)


def _asked(arguments: argparse.Namespace, given: Given | None) -> Asked:
    device = DEVICES[arguments.gpu]
    seconds = arguments.seconds or dict(arguments.measured).get(arguments.parallel)
    if (arguments.rate is None) != (seconds is None):
        raise PlanRefused(
            "--rate and --seconds (or --measured with --parallel's slots) go together: how many requests come, and how "
            "long one takes"
        )
    if arguments.tokens and arguments.rate is None:
        raise PlanRefused("--tokens is for the price of this traffic's: give --rate and --seconds too")
    if arguments.min_instances > arguments.max_instances:
        raise PlanRefused(
            f"--min-instances {arguments.min_instances} is more than --max-instances {arguments.max_instances}"
        )
    if given and given.has_gpu and not device.is_gpu:
        raise PlanRefused(f"{arguments.write} asks for a GPU: plan for it (--gpu), or take it out of the file first")
    if arguments.gpu_memory and not device.is_gpu:
        raise PlanRefused("--gpu-memory is a GPU's; without one the container's memory counts: --memory")
    gib = arguments.memory or (given.gib if given else device.gib)
    rate, around = _load_rate(arguments)
    cache = given.prompt_cache_mib if given and given.prompt_cache_mib is not None else DEFAULT_PROMPT_CACHE_MIB
    return Asked(
        shape=shape_of(arguments.model, store=arguments.store, url=arguments.url),
        device=device,
        load=Load(
            context=arguments.context,
            parallel=arguments.parallel,
            kv_type=arguments.kv_cache_type,
            batch=arguments.batch,
            has_flash_attention=not arguments.no_flash_attention,
            has_full_windows=arguments.swa_full or bool(given and given.has_full_windows),
        ),
        models=arguments.models,
        vcpu=arguments.cpu or (given.vcpu if given else device.vcpu),
        gib=gib,
        container_gib=(given.container_gib if given and not arguments.memory else None) or gib,
        prompt_cache_mib=cache if arguments.prompt_cache is None else arguments.prompt_cache,
        zonal_redundancy=arguments.zonal_redundancy,
        ideal_batch=arguments.ideal_batch,
        memory_bytes=int(arguments.gpu_memory * GIB) if arguments.gpu_memory else None,
        traffic=Traffic(arguments.rate, seconds) if arguments.rate and seconds else None,
        measured=arguments.measured,
        tokens=arguments.tokens,
        bytes_per_second=rate,
        around_seconds=arguments.around_seconds or around,
        margin=arguments.margin,
        least_instances=arguments.min_instances,
        most_instances=arguments.max_instances,
    )


def _prices(arguments: argparse.Namespace) -> cost.Prices:
    prices = cost.list_prices()
    return prices.with_gpu(arguments.gpu, arguments.gpu_price) if arguments.gpu_price else prices


def _load_rate(arguments: argparse.Namespace) -> tuple[float | None, float]:
    """Return bytes of weights a second, stated or measured, and the seconds of a start beside the load."""
    usual = startup.BOOT_SECONDS + startup.WARM_SECONDS
    if not arguments.status:
        return (arguments.load_rate * 1e6 if arguments.load_rate else None), usual
    if arguments.load_rate:
        raise PlanRefused("--load-rate and --status both tell how fast the weights are read; give one")
    url = arguments.status.rstrip("/").removesuffix("/status")
    try:
        answer = httpx.get(f"{url}/status", timeout=STATUS_SECONDS)
        answer.raise_for_status()
        status = agent_status.parse(answer.json())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: no agent answers there ({error or type(error).__name__}); give its port") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{url}/status is no probe-agent's; give the agent's own port, 9090 by default") from error
    if not status.load_bytes_per_second:
        raise SourceError(f"{url}: the agent has not measured a load yet; ask again once it is READY")
    load = sum(phase.seconds for phase in status.phases if phase.name == "load")
    return status.load_bytes_per_second, status.phases[-1].at_seconds - load


class _Opened:
    """A service's file, read to be edited."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            self.document: Any = yaml_edit.load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}; name the service.yaml to write to") from error
        except (UnicodeDecodeError, yaml_edit.NotYaml) as error:
            raise SourceError(f"{path}: cannot be read: {error}") from error
        try:
            self.service = Service(self.document)
        except PlanRefused as error:
            raise PlanRefused(f"{path}: {error}") from error

    def save(self) -> None:
        """Write the file anew: whole, or not at all."""
        text = yaml_edit.dump(self.document)
        aside: Path | None = None
        try:
            with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self.path.parent, delete=False) as file:
                aside = Path(file.name)
                file.write(text)
            aside.chmod(self.path.stat().st_mode & 0o777)
            aside.replace(self.path)
        except OSError as error:
            if aside:
                with suppress(OSError):
                    aside.unlink()
            raise SourceError(f"{self.path}: cannot be written: {error.strerror}; it is as it was") from error


def _write(opened: _Opened, plan: Plan) -> list[str]:
    """Put the settings into the file, where the plan fits; returns a line for each change."""
    if plan.left < 0:
        return []
    changes = opened.service.put(settings(plan))
    if changes:
        opened.save()
    return changes
