"""What a client may not change: the model, the context, whatever else restarts a runner, and `keep_alive`. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from probe_agent.gateway.refusal import Refusal
from probe_agent.ollama.names import canonical_name
from probe_agent.ollama.types import ModelSpec
from probe_agent.variables import PinMode

# Options of the runner rather than of sampling (api/types.go: Runner); another value restarts the runner. Observed on
# 0.32.15 for num_ctx, num_batch and num_thread.
RUNNER_OPTIONS = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "use_mmap",
    "num_thread",
    "draft_num_predict",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """What is pinned. `aliases` maps what clients may call a model to one of `models`; both by canonical name.

    A mode for each field: `num_ctx`, `runner_options` (all others of RUNNER_OPTIONS and `shift`), `keep_alive`.
    """

    models: Mapping[str, ModelSpec]
    aliases: Mapping[str, str] = field(default_factory=dict)
    num_ctx: PinMode = PinMode.ENFORCE
    runner_options: PinMode = PinMode.ENFORCE
    keep_alive: PinMode = PinMode.ENFORCE


@dataclass(slots=True)
class Pinned:
    """A request after pinning: the fields to send, what was changed (`field=what`), and what was only observed."""

    spec: ModelSpec
    fields: dict[str, Any]
    changed: list[str] = field(default_factory=list)
    observed: list[str] = field(default_factory=list)


def apply(fields: Mapping[str, Any], pins: Pins) -> Pinned:
    """Hold a request against the pins.

    Returns what to send upstream. Raises `Refusal`: 400 without a model, or with a value that a pin rejects; 404 for a
    model that is not served here.
    """
    pinned = _pin_model(fields, pins)
    _pin_keep_alive(pinned, pins.keep_alive)
    _pin_options(pinned, pins)
    if "shift" in fields:  # llama-server is started with or without it
        _drop(pinned, pinned.fields, "shift", pins.runner_options, pinned_to="the load's own")
    return pinned


def _pin_model(fields: Mapping[str, Any], pins: Pins) -> Pinned:
    # /api/show also takes the older `name`, which the other routes ignore.
    field_name = "model" if fields.get("model") else "name"
    asked = fields.get(field_name)
    if not isinstance(asked, str) or not asked:
        served = ", ".join(spec.name for spec in pins.models.values())
        raise Refusal(400, "no_model", "the request names no model", f'Add "model": one of {served}')
    name = canonical_name(asked)
    spec = pins.models.get(pins.aliases.get(name, name))
    if spec is None:
        served = ", ".join([*(each.name for each in pins.models.values()), *pins.aliases])
        reason = f"model {ascii(asked)[:120]} is not served here"
        raise Refusal(404, "model", reason, f"Ask for one of: {served}")
    pinned = Pinned(spec, dict(fields))
    if name in pins.aliases:
        pinned.fields[field_name] = spec.name
        pinned.changed.append(f"model={spec.name}")
    return pinned


def _pin_keep_alive(pinned: Pinned, mode: PinMode) -> None:
    if "keep_alive" in pinned.fields:
        _drop(pinned, pinned.fields, "keep_alive", mode, pinned_to="the operator's")


def _pin_options(pinned: Pinned, pins: Pins) -> None:
    options = pinned.fields.get("options")
    if not isinstance(options, dict):
        return  # Ollama itself refuses another type
    options = pinned.fields["options"] = dict(options)
    for name in RUNNER_OPTIONS:
        if name == "num_ctx":
            _pin_num_ctx(pinned, options, pins.num_ctx)
        elif name in options:
            _drop(pinned, options, name, pins.runner_options, pinned_to="the load's own")


def _pin_num_ctx(pinned: Pinned, options: dict[str, Any], mode: PinMode) -> None:
    """Strip a context up to the pinned one, with which nothing is lost; refuse a larger one with both numbers."""
    pin, asked = pinned.spec.num_ctx, options.get("num_ctx")
    if pin is None or asked is None or asked == pin:
        return
    larger = isinstance(asked, (int, float)) and not isinstance(asked, bool) and asked > pin
    if mode is not PinMode.OBSERVE and (larger or mode is PinMode.REJECT):
        reason = f"num_ctx {json.dumps(asked)} differs from the context of {pin} that this instance serves"
        raise Refusal(400, "num_ctx", reason, f"Leave num_ctx out, or send at most {pin}")
    _drop(pinned, options, "num_ctx", mode, pinned_to=str(pin))


def _drop(pinned: Pinned, owner: dict[str, Any], name: str, mode: PinMode, *, pinned_to: str) -> None:
    """Remove one field (enforce), refuse the request (reject) or only note it (observe)."""
    value = json.dumps(owner[name])[:40]
    match mode:
        case PinMode.REJECT:
            reason = f"{name} {value} is not allowed: it is pinned to {pinned_to}"
            raise Refusal(400, name, reason, f"Leave {name} out")
        case PinMode.ENFORCE:
            del owner[name]
            pinned.changed.append(f"{name}={pinned_to}" if pinned_to.isdigit() else f"{name} removed")
        case _:
            pinned.observed.append(name)
