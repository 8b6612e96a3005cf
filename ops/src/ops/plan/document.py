"""A plan as programs read it: one JSON document, sizes in bytes, times in seconds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ops.cloudrun.scaling import Scaling
from ops.plan.planning import Plan
from ops.plan.settings import settings


def document(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON; what is infinite is null."""
    asked, shape = plan.asked, plan.asked.shape
    found: dict[str, Any] = _plain(
        {
            "model": {
                "name": shape.name,
                "architecture": shape.architecture,
                "quantization": shape.quantization,
                "attention": shape.attention,
                "trained_context": shape.trained_context,
                "count": asked.models,
            },
            "device": asked.device.name,
            "memory": {
                **dataclasses.asdict(plan.memory),
                "kv_cache_of_a_slot": plan.memory.kv_cache_of_a_slot,
                "total_of_a_model": plan.memory.total,
                "total": plan.total,
                "usable": plan.usable,
                "left": plan.left,
                "host_left": plan.host_left,
                "fits": plan.has_room,
            },
            "kv_types": [dataclasses.asdict(fit) for fit in plan.fits],
            "container_concurrency": plan.at_once,
            "scaling": _scaling(plan.scaling) if plan.scaling else None,
            "choices": [dataclasses.asdict(each) for each in plan.choices],
            "choices_left_out": plan.left_out,
            "startup": {**dataclasses.asdict(plan.budget), "seconds": plan.budget.seconds, "fits": plan.budget.fits}
            if plan.budget
            else None,
            "cost": dataclasses.asdict(plan.costs) if plan.costs else {"unknown": plan.price_unknown},
            "prices": {
                "read": plan.prices.read.isoformat(),
                "region": plan.prices.region,
                "sources": plan.prices.sources,
            },
            "settings": [dataclasses.asdict(each) for each in settings(plan)],
        }
    )
    return found


def _scaling(scaling: Scaling) -> dict[str, Any]:
    return {**dataclasses.asdict(scaling), "fits": scaling.fits, "on_target": scaling.on_target}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
