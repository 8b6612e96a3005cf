"""The agent's /status, asked a few times a second: for the display, the report, and the instant of READY."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

# While starting: a step shows as it happens.
POLL_SECONDS = 0.2
# Once ready: the state for the status line, at little cost.
WATCH_SECONDS = 1.0
# For one /status, which the agent answers from memory: a late one is worth nothing to a live display.
TIMEOUT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of the cold start: reached so many seconds after the agent's start, and how long it took."""

    name: str
    at_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """What of /status is shown and reported. Wall clock: `started_at`, `ready_at` (the first READY), `received_at`."""

    state: str
    reason: str
    action: str
    phases: tuple[Phase, ...]
    gap_seconds: float | None
    load_bytes_per_second: float | None
    size_bytes: int | None
    # How many have come, and are to come; None where the model is in the image.
    fetched_bytes: tuple[int, int] | None
    restored_slots: int
    started_at: float
    ready_at: float | None
    received_at: float
    raw: dict[str, Any]


def parse(body: dict[str, Any], before: AgentStatus | None = None) -> AgentStatus:
    """Read a /status body; what is missing stays empty. What the one before knew of start and READY is kept.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is not an agent's status.

    """
    waterfall = body.get("waterfall") or {}
    phases = tuple(
        Phase(phase["phase"], float(phase["at_seconds"]), float(phase["seconds"]))
        for phase in waterfall.get("phases", [])
    )
    source = body.get("source")
    now = time.time()
    ready_at = before.ready_at if before else None
    if ready_at is None and body["state"] == "READY":
        ready_at = datetime.fromisoformat(body["since"]).timestamp()
    return AgentStatus(
        state=body["state"],
        reason=body.get("reason", ""),
        action=body.get("action", ""),
        phases=phases,
        gap_seconds=waterfall.get("gap_seconds"),
        load_bytes_per_second=waterfall.get("load_bytes_per_second"),
        size_bytes=sum(model.get("size_bytes") or 0 for model in body.get("models", [])) or None,
        fetched_bytes=(source["done_bytes"], source["total_bytes"]) if source else None,
        restored_slots=(body.get("prompt_cache") or {}).get("restored_slots", 0),
        started_at=before.started_at if before else now - float(body["agent"]["uptime_seconds"]),
        ready_at=ready_at,
        received_at=now,
        raw=body,
    )


class AgentWatch:
    """The latest status of one agent."""

    def __init__(self, url: str, changed: Callable[[AgentStatus], None]) -> None:
        self.latest: AgentStatus | None = None
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=TIMEOUT_SECONDS)
        self._changed = changed
        self._was_ready = asyncio.Event()
        self._has_failed = asyncio.Event()

    async def run(self) -> None:
        """Poll until cancelled; an agent that does not answer is asked again."""
        try:
            while True:
                await self.refresh()
                await asyncio.sleep(WATCH_SECONDS if self._was_ready.is_set() else POLL_SECONDS)
        finally:
            await self._client.aclose()

    async def wait_ready(self) -> AgentStatus:
        """Return the status once the agent has been READY."""
        return await self._latest_after(self._was_ready)

    async def wait_failed(self) -> AgentStatus:
        """Return the status once the agent is FAILED, which is for good."""
        return await self._latest_after(self._has_failed)

    async def _latest_after(self, event: asyncio.Event) -> AgentStatus:
        await event.wait()
        assert self.latest is not None, "an event follows a status"  # noqa: S101 — for the type checker
        return self.latest

    async def refresh(self) -> None:
        """Ask once, now; an agent that does not answer changes nothing."""
        try:
            body = (await self._client.get("/status")).json()
            self.latest = parse(body, self.latest)
        except (httpx.HTTPError, ValueError, TypeError, KeyError, AttributeError):
            return
        self._changed(self.latest)
        if self.latest.ready_at is not None:
            self._was_ready.set()
        if self.latest.state == "FAILED":
            self._has_failed.set()
