"""The question put together: each value is an option's, else --write's file's, else the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import httpx

from ops import kv_cache
from ops.cloudrun.scaling import Traffic
from ops.plan import options, startup
from ops.plan import settings as names
from ops.plan.asked import Asked, Source
from ops.plan.errors import PlanRefused, SourceError
from ops.plan.gpus import DEVICES, Device
from ops.plan.memory import GIB, Load
from ops.plan.options import Options
from ops.plan.service import Given
from ops.plan.sources import shape_of
from ops.up import agent_status
from probe_agent.errors import cause_of

T = TypeVar("T")

DEFAULT_CONTEXT, DEFAULT_SLOTS, DEFAULT_PROMPT_CACHE_MIB = 8192, 4, 2048
# The GPU quota of a region that is granted without asking.
DEFAULT_MOST_INSTANCES = 3
# For an agent's /status, answered from memory; through a proxy to Cloud Run it takes a second.
STATUS_SECONDS = 5.0
# How llama.cpp's variables are switched on.
ON = frozenset({"1", "true", "on", "enabled"})
# How Ollama's variables are switched off.
OFF = frozenset({"0", "f", "false"})


# Ollama reads 0 in these variables as unset.
ZERO_IS_UNSET = frozenset({names.CONTEXT, names.SLOTS, names.MODELS})


class _Values:
    """Chooses values, and remembers where each came from."""

    def __init__(self, arguments: Options, given: Given | None) -> None:
        self._arguments, self._written = arguments, given.written if given else {}
        self.sources: dict[str, Source] = {}

    def choose(self, name: str, option: str, read: Callable[[str], T], default: T) -> T:
        """Return the option's value, else the file's as `read` reads it, else the default."""
        told: T | None = getattr(self._arguments, option)
        if told is not None:
            self.sources[name] = Source.OPTION
            return told
        written = self._written.get(name)
        if not written or (written == "0" and name in ZERO_IS_UNSET):
            self.sources[name] = Source.DEFAULT
            return default
        self.sources[name] = Source.FILE
        try:
            return read(written)
        except ValueError as error:
            raise PlanRefused(
                f"{self._arguments.write}: {name}: {error}; correct it, or give --{option.replace('_', '-')}"
            ) from error


def asked(name: str, arguments: Options, given: Given | None) -> Asked:
    """Return what is asked for; `given` is what --write's file says.

    Raises:
        PlanRefused: options, or options and the file, do not go together.
        SourceError: the model, or the agent that has measured, cannot be read.

    """
    values = _Values(arguments, given)
    device = _device(arguments, given, values)
    load = _load(values, arguments.batch)
    least = values.choose(names.LEAST, "min_instances", options.from_zero, 0)
    most = values.choose(names.MOST, "max_instances", options.count, DEFAULT_MOST_INSTANCES)
    if least > most:
        raise PlanRefused(f"--min-instances {least} is more than --max-instances {most}")
    gib = arguments.memory or (given.gib if given else device.gib)
    traffic = _traffic(arguments, load.parallel)
    rate, around = _load_rate(arguments)
    return Asked(
        shape=shape_of(name, store=arguments.store, url=arguments.url),
        device=device,
        load=load,
        models=values.choose(names.MODELS, "models", options.models, 1),
        vcpu=arguments.cpu or (given.vcpu if given else device.vcpu),
        gib=gib,
        container_gib=(given.container_gib if given and not arguments.memory else None) or gib,
        prompt_cache_mib=values.choose(names.PROMPT_CACHE, "prompt_cache", options.from_zero, DEFAULT_PROMPT_CACHE_MIB),
        zonal_redundancy=values.choose(
            names.NO_REDUNDANCY, "zonal_redundancy", lambda text: text.lower() != "true", False
        ),
        ideal_batch=arguments.ideal_batch,
        memory_bytes=int(arguments.gpu_memory * GIB) if arguments.gpu_memory else None,
        traffic=traffic,
        measured=arguments.measured,
        tokens=arguments.tokens,
        bytes_per_second=rate,
        around_seconds=arguments.around_seconds or around,
        margin=arguments.margin,
        least_instances=least,
        most_instances=most,
        sources=values.sources,
    )


def _device(arguments: Options, given: Given | None, values: _Values) -> Device:
    device = DEVICES[values.choose(names.DEVICE, "gpu", options.device, options.DEVICES[0])]
    if given and given.has_gpu and not device.is_gpu:
        raise PlanRefused(f"{arguments.write} asks for a GPU: plan for it (--gpu), or take it out of the file first")
    if given and device.is_gpu and not given.has_gpu_limit:
        raise PlanRefused(
            f"{arguments.write} gives no container a GPU: write the limit nvidia.com/gpu: '1' first, or plan for "
            "--gpu cpu"
        )
    if arguments.gpu_memory and not device.is_gpu:
        raise PlanRefused("--gpu-memory is a GPU's; without one the container's memory counts: --memory")
    return device


def _load(values: _Values, batch: int | None) -> Load:
    flash = values.choose(names.FLASH_ATTENTION, "flash_attention", lambda text: text.lower() not in OFF, True)
    return Load(
        context=values.choose(names.CONTEXT, "context", options.count, DEFAULT_CONTEXT),
        parallel=values.choose(names.SLOTS, "parallel", options.slots, DEFAULT_SLOTS),
        kv_type=values.choose(names.KV_TYPE, "kv_cache_type", options.kv_type, kv_cache.REFERENCE),
        batch=batch,
        has_flash_attention=flash,
        has_full_windows=values.choose(names.FULL_WINDOWS, "swa_full", lambda text: text.lower() in ON, False),
    )


def _traffic(arguments: Options, slots: int) -> Traffic | None:
    if arguments.measured and arguments.rate is None:
        raise PlanRefused("--measured is compared at a traffic: give --rate too")
    seconds = arguments.seconds or dict(arguments.measured).get(slots)
    if (arguments.rate is None) != (seconds is None):
        raise PlanRefused(
            "--rate and --seconds (or --measured with --parallel's slots) go together: how many requests come, and how "
            "long one takes"
        )
    if arguments.tokens and arguments.rate is None:
        raise PlanRefused("--tokens is for the price of this traffic's: give --rate and --seconds too")
    return Traffic(arguments.rate, seconds) if arguments.rate and seconds else None


def _load_rate(arguments: Options) -> tuple[float | None, float]:
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
        raise SourceError(f"{url}: no agent answers there ({cause_of(error)}); give its port") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SourceError(f"{url}/status is no probe-agent's; give the agent's own port, 9090 by default") from error
    if not status.load_bytes_per_second:
        raise SourceError(f"{url}: the agent has not measured a load yet; ask again once it is READY")
    load = sum(phase.seconds for phase in status.phases if phase.name == "load")
    return status.load_bytes_per_second, status.phases[-1].at_seconds - load
