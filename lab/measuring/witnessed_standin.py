"""The stand-in, telling when it answered: `python -m lab.measuring.witnessed_standin [--scripted MODEL...]`.

Each answer is a line `answered STATUS METHOD PATH ASKED AT`: the instants at which the request came, and just before
the last part of its answer was sent: whoever counts from there counts the way to the client too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.measuring.servers import MODEL, NUM_CTX
from ops.smollm2 import gguf_path
from ops.standin import ScriptedEngine, ServedModel, StandIn
from ops.standin.abrupt import AbruptServer, listen
from ops.standin.llamacpp import LlamaCppEngine, stored_model

# Long enough for a probe to be held before the load ends, short enough for hundreds of starts.
SCRIPTED_LOAD_SECONDS = 0.1


class Witness:
    """ASGI around `app`: prints when each answer was complete."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        status, asked = 0, time.monotonic()

        async def witnessed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            at = time.monotonic()
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                print(f"answered {status} {scope['method']} {scope['path']} {asked:.6f} {at:.6f}", flush=True)

        await self._app(scope, receive, witnessed)


def main() -> None:
    """Serve on OLLAMA_HOST until killed."""
    parser = argparse.ArgumentParser(description="The stand-in, telling when it answered.")
    parser.add_argument("--scripted", nargs="+", metavar="MODEL", help="no weights: a load takes a tenth of a second")
    models = parser.parse_args().scripted
    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    listener = listen(host, int(port))  # before the model file is read, as Ollama does
    app = _scripted(models) if models else _llamacpp()
    AbruptServer(uvicorn.Config(Witness(app), log_level="warning", access_log=False)).run([listener])


def _scripted(models: Sequence[str]) -> StandIn:
    engine = ScriptedEngine(load_seconds=SCRIPTED_LOAD_SECONDS)
    stored = [ServedModel(name, num_ctx=NUM_CTX) for name in models]
    return StandIn(models=stored, engine=engine, max_loaded_models=len(models))


def _llamacpp() -> StandIn:
    return StandIn(models=[stored_model(MODEL, gguf_path(), NUM_CTX)], engine=LlamaCppEngine())


if __name__ == "__main__":
    main()
