"""The stand-in as a server that behaves, and misbehaves, like Ollama."""

from typing import Any

import httpx

from lab.servers import NO_TLS, LoopbackServer
from ops.standin import ScriptedEngine, ServedModel, StandIn
from probe_agent.ollama.store import StoreManifest


class Ollama:
    """The stand-in with its scripted engine, one model `m`, and the loopback server that runs it."""

    def __init__(self, **options: Any) -> None:
        self.engine = ScriptedEngine(load_seconds=0.02)
        model = ServedModel("m", num_ctx=2048, trained_context=8192)
        given = {"num_parallel": 2, "context_length": 2048, "ping_timeout_seconds": 0.3, **options}
        self.app = StandIn(models=[model], engine=self.engine, **given)
        self.running = LoopbackServer(self.app)
        self.url = self.running.url

    def asked(self, path: str) -> list[dict[str, Any]]:
        """Return the bodies of the requests that arrived at a path."""
        return [asked.body or {} for asked in self.app.requests if asked.path == path]

    def serves(self, manifest: StoreManifest) -> None:
        """Let the model have the digest of a store's."""
        self.app.models.change("m", digest=manifest.digest)

    def looks(self) -> list[Any]:
        """Return the requests for the list of what is loaded."""
        return [asked for asked in self.app.requests if asked.path == "/api/ps"]

    async def client(self, path: str = "/api/generate", **body: Any) -> None:
        """What a client of the service does: one request to the model, to generate unless another path is given."""
        async with httpx.AsyncClient(timeout=10, verify=NO_TLS) as http:
            await http.post(f"{self.url}{path}", json={"model": "m", "stream": False, **body})
