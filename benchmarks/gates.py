"""Five ways to decide when a service may get requests: what platforms and people do, and what the agent offers.

Each is a coroutine that returns once the gate opens, from the start of the containers on; a try that fails is repeated
after `PERIOD_SECONDS`, the shortest period that Cloud Run knows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx

from lab.process import LOOPBACK

PERIOD_SECONDS = 1.0
# Cloud Run's default probe waits for the port itself, for 240 s: its opening is noticed at once.
TCP_LOOK_SECONDS = 0.01
# For one try, as long as the period; a held probe has HOLD_SECONDS.
TRY_SECONDS = 1.0
# Longer than any start here: the agent holds the probe until READY.
HOLD_SECONDS = 60
# For a held probe: the agent answers by the end of its hold.
HELD_SECONDS = HOLD_SECONDS + 5.0


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate: how people call it, how it waits (for the ports of Ollama and of the agent), the agent's settings."""

    title: str
    opened: Callable[[int, int], Awaitable[None]]
    agent: Mapping[str, str]


async def _tcp(ollama: int, _agent: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(LOOPBACK, ollama)
            writer.close()
            return
        await asyncio.sleep(TCP_LOOK_SECONDS)


async def _answers(url: str, seconds: float) -> None:
    """Ask once a period, counted from the start of the containers, until the answer is a 200."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    async with httpx.AsyncClient(trust_env=False, timeout=seconds) as client:  # no proxy on loopback
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).is_success:
                    return
            while due <= loop.time():
                due += PERIOD_SECONDS
            await asyncio.sleep(due - loop.time())


async def _root(ollama: int, _agent: int) -> None:
    await _answers(f"http://{LOOPBACK}:{ollama}/", TRY_SECONDS)


async def _shell(ollama: int, _agent: int) -> None:
    url = f"http://{LOOPBACK}:{ollama}/api/tags"
    loop = f"until curl --silent --fail --noproxy '*' --max-time {TRY_SECONDS:g} --output /dev/null {url}"
    process = await asyncio.create_subprocess_exec("bash", "-c", f"{loop}; do sleep {PERIOD_SECONDS:g}; done")
    try:
        await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _polled(_ollama: int, agent: int) -> None:
    await _answers(f"http://{LOOPBACK}:{agent}/startup", TRY_SECONDS)


async def _held(_ollama: int, agent: int) -> None:
    await _answers(f"http://{LOOPBACK}:{agent}/startup", HELD_SECONDS)


GATES: Mapping[str, Gate] = {
    "tcp": Gate("TCP probe (Cloud Run's default)", _tcp, {}),
    "root": Gate("GET / each second", _root, {}),
    "tags": Gate("shell loop: curl /api/tags", _shell, {}),
    "agent_polled": Gate("probe-agent, asked each second", _polled, {}),
    "agent_held": Gate("probe-agent, probe held", _held, {"PROBE_AGENT_STARTUP_HOLD_SECONDS": str(HOLD_SECONDS)}),
}
