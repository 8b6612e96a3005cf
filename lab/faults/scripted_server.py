"""The scripted stand-in as a process, to be killed and stopped: `scripted_server.py PORT DIGEST LOAD_SECONDS`.

POST /script {"runner": "kill" | "hang" | "resume"} does to the model's runner what a signal does to a real one; the
answer has "loads", how many there have been.
"""

from __future__ import annotations

import json
import sys

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from ops.standin import ScriptedEngine, ServedModel, StandIn
from ops.standin.abrupt import AbruptServer, listen

CONTEXT = 2048
# Until a runner that does not answer is given up, as in the other tests of the agent.
PING_SECONDS = 0.3


class Scripted:
    """The stand-in, and one route more."""

    def __init__(self, digest: str, load_seconds: float) -> None:
        self._engine = engine = ScriptedEngine(load_seconds=load_seconds)
        model = ServedModel("m", num_ctx=CONTEXT, trained_context=8192, digest=digest)
        self._app = StandIn(
            models=[model], engine=engine, num_parallel=2, context_length=CONTEXT, ping_timeout_seconds=PING_SECONDS
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope.get("path") != "/script":
            await self._app(scope, receive, send)
            return
        if what := json.loads((await receive())["body"]).get("runner"):
            getattr(self._app.runner("m"), what)()
        await JSONResponse({"loads": len(self._engine.starts)})(scope, receive, send)


def main() -> None:
    """Serve on loopback until killed."""
    port, digest, load_seconds = sys.argv[1:]
    listener = listen("127.0.0.1", int(port))
    app = Scripted(digest, float(load_seconds))
    AbruptServer(uvicorn.Config(app, log_level="warning", access_log=False)).run([listener])


if __name__ == "__main__":
    main()
