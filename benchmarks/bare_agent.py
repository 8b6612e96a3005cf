"""The least that a readiness sidecar must do: answer /live, and ask Ollama each PERIOD seconds for its running models.

`python bare_agent.py PORT OLLAMA_URL MODEL PERIOD`. The agent's start and idle cost are measured against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

ANSWER_SECONDS = 2.0


async def live(_request: Request) -> PlainTextResponse:
    """Answer the liveness probe."""
    return PlainTextResponse("ok")


async def watch(url: str, model: str, period: float) -> None:
    """Ask for the running models and send an empty load request, as the agent does, for ever."""
    async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.HTTPError):
                await client.get("/api/ps")
                await client.post("/api/generate", json={"model": model, "prompt": "", "stream": False})
            await asyncio.sleep(period)


def main() -> None:
    """Serve until killed."""
    port, url, model, period = sys.argv[1:]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(watch(url, model, float(period)))
        yield
        task.cancel()

    app = Starlette(routes=[Route("/live", live)], lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
