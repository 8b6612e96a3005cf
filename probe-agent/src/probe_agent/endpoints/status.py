"""The bodies of the probes and of `/status`: plain JSON values made from a view."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from probe_agent import __version__
from probe_agent.readiness.view import ModelView, ReadinessView


def summary(view: ReadinessView) -> dict[str, Any]:
    """Return state, reason, action and since when: the body of every probe's answer."""
    ago = view.now - view.since
    since = datetime.now(UTC) - timedelta(seconds=ago)
    return {
        "state": view.state,
        "reason": view.reason,
        "action": view.action,
        "since": since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "since_seconds": round(ago, 3),
    }


def status(view: ReadinessView) -> dict[str, Any]:
    """Return everything the agent knows, as `/status` shows it."""
    ago = None if view.last_check is None else round(view.now - view.last_check, 3)
    return {
        **summary(view),
        "startup": view.startup_passed,
        "epoch": view.epoch,
        "agent": {"version": __version__, "uptime_seconds": round(view.now - view.started, 3)},
        "ollama": {"url": view.ollama_url, "version": view.ollama_version},
        "source": {"source": view.source_name, **asdict(view.source_progress)} if view.source_progress else None,
        "models": [_model(model) for model in view.models],
        "waterfall": view.waterfall.as_json(),
        "prompt_cache": {"restored_slots": view.restored_slots},
        "watch": {
            "failures_in_a_row": view.failures_in_a_row,
            "last_check_seconds_ago": ago,
            "reloads": sum(view.reloads.values()),
        },
    }


def _model(model: ModelView) -> dict[str, Any]:
    stored, running = model.stored, model.running
    return {
        "model": model.name,
        "num_ctx": model.num_ctx,
        "digest": stored.digest if stored else None,
        "size_bytes": stored.size_bytes if stored else None,
        "context_length": running.context_length if running else None,
        "memory_bytes": running.memory_bytes if running else None,
        "vram_bytes": running.vram_bytes if running else None,
        "device": running.device if running else None,
    }
