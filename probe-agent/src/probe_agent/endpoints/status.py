"""What `/status` and the probes say: plain JSON values made from the supervisor's state, without I/O."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from probe_agent import __version__
from probe_agent.ollama.types import ModelSpec
from probe_agent.readiness.controller import Controller
from probe_agent.readiness.observed import Observed


def summary(supervisor: Controller) -> dict[str, Any]:
    """Return state, reason, since when and what to do: the body of every probe's answer."""
    readiness = supervisor.readiness
    ago = supervisor.clock() - readiness.since
    since = datetime.fromtimestamp(datetime.now(UTC).timestamp() - ago, UTC)
    return {
        "state": readiness.state,
        "reason": readiness.reason,
        "action": readiness.action,
        "since": since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "since_seconds": round(ago, 3),
    }


def status(supervisor: Controller) -> dict[str, Any]:
    """Return everything the agent knows, as `/status` shows it."""
    record, now = supervisor.record, supervisor.clock()
    ago = None if record.last_check is None else round(now - record.last_check, 3)
    return {
        **summary(supervisor),
        "startup": supervisor.readiness.latched,
        "epoch": supervisor.readiness.epoch,
        "agent": {"version": __version__, "uptime_seconds": round(now - record.started, 3)},
        "ollama": {"url": supervisor.settings.ollama_url, "version": record.ollama_version},
        "source": _source(supervisor),
        "models": [_model(pin, record) for pin in record.pins],
        "waterfall": record.waterfall.as_json(),
        "prompt_cache": {"restored_slots": record.restored_slots},
        "watch": {
            "failures_in_a_row": supervisor.failures_in_a_row,
            "last_check_seconds_ago": ago,
            "reloads": sum(record.reloads.values()),
        },
    }


def _source(supervisor: Controller) -> dict[str, Any] | None:
    if supervisor.source is None:
        return None
    return {"source": supervisor.source.name, **asdict(supervisor.source.progress.snapshot())}


def _model(pin: ModelSpec, record: Observed) -> dict[str, Any]:
    stored, resident = record.stored.get(pin.name), record.resident.get(pin.name)
    return {
        "model": pin.name,
        "num_ctx": pin.num_ctx,
        "digest": stored.digest if stored else None,
        "size_bytes": stored.size_bytes if stored else None,
        "context_length": resident.context_length if resident else None,
        "memory_bytes": resident.memory_bytes if resident else None,
        "vram_bytes": resident.vram_bytes if resident else None,
        "device": resident.device if resident else None,
    }
