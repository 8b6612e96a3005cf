"""The settings that a plan comes down to, each with its place and its reason; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ops import kv_cache
from ops.plan.asked import Source
from ops.plan.planning import Plan

CONTEXT, SLOTS, MODELS = "OLLAMA_CONTEXT_LENGTH", "OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_LOADED_MODELS"
KV_TYPE, FLASH_ATTENTION = "OLLAMA_KV_CACHE_TYPE", "OLLAMA_FLASH_ATTENTION"
FULL_WINDOWS, PROMPT_CACHE = "LLAMA_ARG_SWA_FULL", "LLAMA_ARG_CACHE_RAM"
LEAST, MOST = "autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale"
NO_REDUNDANCY = "run.googleapis.com/gpu-zonal-redundancy-disabled"
DEVICE = "nodeSelector"
REVISION, ANNOTATIONS = "revision", "revision's annotations"
OLLAMA, AGENT, BOTH = "container ollama", "container probe-agent", "both containers"
BOTH_PROBES = "both startup probes"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value. Variables and annotations are text, as YAML wants them; numbers of the API are numbers."""

    place: str
    name: str
    value: str | int
    reason: str
    source: Source = Source.PLAN


def settings(plan: Plan) -> list[Setting]:
    """Return what to set, in the order of a service's file."""
    return [replace(each, source=_source(plan, each)) for each in (*_scale(plan), *_ollama(plan), *_probes(plan))]


def _source(plan: Plan, setting: Setting) -> Source:
    asked = plan.asked
    follows = {
        CONTEXT: plan.context != asked.load.context,
        SLOTS: plan.memory.slots != asked.load.parallel,
        FLASH_ATTENTION: FLASH_ATTENTION not in asked.told,
    }
    return Source.PLAN if follows.get(setting.name) else asked.sources.get(setting.name, Source.PLAN)


def _scale(plan: Plan) -> Iterator[Setting]:
    asked = plan.asked
    yield Setting(REVISION, "containerConcurrency", plan.at_once, _rule(plan))
    yield Setting(ANNOTATIONS, LEAST, str(asked.least_instances), _least(plan))
    yield Setting(ANNOTATIONS, MOST, str(asked.most_instances), "at most the GPU quota")
    if asked.device.is_gpu:
        off = str(not asked.zonal_redundancy).lower()
        yield Setting(ANNOTATIONS, NO_REDUNDANCY, off, "its price and its quota are its own")
        yield Setting(REVISION, DEVICE, asked.device.name, "the device that was planned for")


def _ollama(plan: Plan) -> Iterator[Setting]:
    asked, load, slots = plan.asked, plan.asked.load, plan.memory.slots
    queue = 2 * plan.at_once
    yield Setting(OLLAMA, CONTEXT, str(plan.context), "each slot's")
    yield Setting(BOTH, SLOTS, str(slots), f"{slots} contexts are in memory")
    yield Setting(OLLAMA, MODELS, str(asked.models), "more would evict each other")
    yield Setting(OLLAMA, "OLLAMA_MAX_QUEUE", str(queue), "twice containerConcurrency: it bounds waiting for a load")
    yield Setting(OLLAMA, KV_TYPE, load.kv_type, "keys and values: see the table")
    if load.kv_type != kv_cache.REFERENCE or FLASH_ATTENTION in asked.told:
        reason = "a quantised KV cache needs it" if load.kv_type != kv_cache.REFERENCE else "the sum is for it"
        yield Setting(OLLAMA, FLASH_ATTENTION, str(int(load.has_flash_attention)), reason)
    if FULL_WINDOWS in asked.told:
        yield Setting(OLLAMA, FULL_WINDOWS, str(int(load.has_full_windows)), "windows, in full or not")
    cache = str(asked.prompt_cache_mib)
    yield Setting(OLLAMA, PROMPT_CACHE, cache, "MiB of each model in the host's memory; unset they are 8192")


def _probes(plan: Plan) -> Iterator[Setting]:
    if plan.budget and plan.budget.fits:
        reason = plan.budget.reason(plan.asked.margin)
        yield Setting(BOTH_PROBES, "periodSeconds", plan.budget.period, reason)
        yield Setting(BOTH_PROBES, "failureThreshold", plan.budget.threshold, reason)
        timeout = "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS"
        yield Setting(AGENT, timeout, str(plan.budget.seconds), "the probe's budget")


def _rule(plan: Plan) -> str:
    models, slots = plan.asked.models, plan.memory.slots
    batch = plan.asked.ideal_batch or slots
    return f"(models x parallel) + (models x batch) = {models} x {slots} + {models} x {batch}"


def _least(plan: Plan) -> str:
    if plan.asked.least_instances:
        return "no request waits for a start; every hour is billed"
    return "nothing is billed when nobody asks; the first request waits for a start"
