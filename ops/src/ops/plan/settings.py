"""The settings that a plan comes down to, each with its place and its reason; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ops.plan.memory import KV_TYPES

if TYPE_CHECKING:
    from ops.plan.planning import Plan

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


def settings(plan: Plan) -> list[Setting]:
    """Return what to set, in the order of a service's file."""
    asked, own = plan.asked, plan.memory
    queue = 2 * plan.at_once
    found = [
        Setting(REVISION, "containerConcurrency", plan.at_once, _rule(plan)),
        Setting(ANNOTATIONS, "autoscaling.knative.dev/minScale", str(asked.least_instances), _least(plan)),
        Setting(ANNOTATIONS, "autoscaling.knative.dev/maxScale", str(asked.most_instances), "at most the GPU quota"),
        Setting(
            ANNOTATIONS,
            "run.googleapis.com/gpu-zonal-redundancy-disabled",
            str(not asked.zonal_redundancy).lower(),
            "its price and its quota are its own",
        ),
        Setting(OLLAMA, "OLLAMA_CONTEXT_LENGTH", str(plan.context), "each slot's"),
        Setting(BOTH, "OLLAMA_NUM_PARALLEL", str(own.slots), f"{own.slots} contexts are in memory"),
        Setting(OLLAMA, "OLLAMA_MAX_LOADED_MODELS", str(asked.models), "more would evict each other"),
        Setting(OLLAMA, "OLLAMA_MAX_QUEUE", str(queue), "twice containerConcurrency: it bounds waiting for a load"),
        Setting(OLLAMA, "OLLAMA_KV_CACHE_TYPE", asked.load.kv_type, "keys and values: see the table"),
    ]
    if asked.load.kv_type != KV_TYPES[0]:
        found.append(Setting(OLLAMA, "OLLAMA_FLASH_ATTENTION", "1", "a quantised KV cache needs it"))
    if not asked.device.is_gpu:
        found = [each for each in found if "gpu" not in each.name]
    else:
        found.append(Setting(REVISION, "nodeSelector", asked.device.name, "the device that was planned for"))
    if plan.budget and plan.budget.fits:
        reason = f"{plan.budget.usual:.0f} s usually, times {asked.margin:g}"
        found += [
            Setting(BOTH_PROBES, "periodSeconds", plan.budget.period, reason),
            Setting(BOTH_PROBES, "failureThreshold", plan.budget.threshold, reason),
            Setting(AGENT, "PROBE_AGENT_STARTUP_TIMEOUT_SECONDS", str(plan.budget.seconds), "the probe's budget"),
        ]
    return found


def _rule(plan: Plan) -> str:
    models, slots = plan.asked.models, plan.memory.slots
    batch = plan.asked.ideal_batch or slots
    return f"(models x parallel) + (models x batch) = {models} x {slots} + {models} x {batch}"


def _least(plan: Plan) -> str:
    if plan.asked.least_instances:
        return "no request waits for a start; every hour is billed"
    return "nothing is billed when nobody asks; the first request waits for a start"
