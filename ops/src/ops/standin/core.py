"""What all routes of a stand-in share: its models, its settings, and who may use a loaded model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.requests import Request

from ops.standin import wire
from ops.standin.answers import while_connected
from ops.standin.disk import DiskStore
from ops.standin.engine import Engine, LoadOptions, Runner
from ops.standin.errors import ApiError
from ops.standin.faults import Faults
from ops.standin.models import ServedModel, Store
from ops.standin.scheduler import Lease, Scheduler

# The Ollama that the stand-in was compared with.
VERSION = "0.32.15-standin"
_SMALLEST_CONTEXT = 4


class Asked(NamedTuple):
    """One request as it arrived; `body` is None unless it was JSON."""

    method: str
    path: str
    body: Any


class Core:
    """A stand-in without its HTTP routes. Everything public may be used from another thread while it serves."""

    def __init__(
        self,
        *,
        models: Iterable[ServedModel],
        engine: Engine,
        context_length: int = 4096,
        num_parallel: int = 1,
        keep_alive: float = 300.0,
        max_queue: int = 512,
        max_loaded_models: int = 3,
        ping_timeout_seconds: float = 10.0,
        version: str = VERSION,
        loopback: bool = True,
        disk: DiskStore | None = None,
    ) -> None:
        # Where models may be created and removed, if anywhere. It is read now; `models` come on top.
        self.disk = disk
        self.models = Store([*(disk.models() if disk else ()), *models])
        self.engine = engine
        self.context_length = context_length
        self.num_parallel = num_parallel
        self.keep_alive = keep_alive
        self.max_queue = max_queue
        self.max_loaded_models = max_loaded_models
        # Ollama gives up a runner that does not answer for 10 s, and asks twice.
        self.ping_timeout_seconds = ping_timeout_seconds
        self.version = version
        # On a loopback bind Ollama refuses foreign hosts and origins.
        self.loopback = loopback
        self.scheduler = self.new_scheduler()
        self.faults = Faults()
        self.requests: list[Asked] = []
        self._vram_fractions: dict[str, float] = {}

    def runner(self, name: str) -> Runner:
        """Return the runner of a loaded model, to kill, hang or resume; KeyError when it is not loaded."""
        loaded = self.scheduler.find(self.models.find(name))
        if loaded is None:
            raise KeyError(f"{name} is not loaded")
        return loaded.runner

    def spill(self, name: str, fraction_in_vram: float) -> None:
        """Report `fraction_in_vram` (0 to 1) of the model's memory on the GPU from now on."""
        self._vram_fractions[wire.full_name(name)] = fraction_in_vram

    async def processes(self) -> list[dict[str, Any]]:
        """Return the entries of /api/ps."""
        entries = []
        for loaded in self.scheduler.loaded:
            async with loaded.lock:
                if not loaded.gone:
                    entries.append(loaded.status(self._vram_fractions.get(loaded.model.name)))
        return entries

    async def acquire(
        self, model: ServedModel, options: object, keep_alive: float | None, body: dict[str, Any]
    ) -> Lease:
        """Return a lease of `model`, loaded with what the request, the Modelfile and the server say."""
        if "completion" not in model.capabilities:
            raise ApiError(400, f'"{body.get("model", model.name)}" does not support generate')
        wanted = self._load_options(model, options, shift=body.get("shift") is not False)
        return await self.scheduler.acquire(model, wanted, keep_alive)

    async def embed(
        self, request: Request, model: ServedModel, body: dict[str, Any], texts: list[str]
    ) -> tuple[list[list[float]], int]:
        """Return vectors of `texts` and the tokens read; no texts is a load."""
        keep_alive = wire.keep_alive_seconds(body.get("keep_alive"))
        wanted = self._load_options(model, body.get("options"))
        lease = await while_connected(request, self.scheduler.acquire(model, wanted, keep_alive))
        try:
            if not texts:
                return [], 0
            async with lease.loaded.slots:
                return await while_connected(request, lease.loaded.runner.embed(texts))
        finally:
            lease.release()

    def new_scheduler(self) -> Scheduler:
        """Return a scheduler with nothing loaded."""
        return Scheduler(
            self.engine,
            num_parallel=self.num_parallel,
            keep_alive=self.keep_alive,
            max_queue=self.max_queue,
            max_loaded_models=self.max_loaded_models,
            ping_timeout_seconds=self.ping_timeout_seconds,
        )

    def _load_options(self, model: ServedModel, options: object, *, shift: bool = True) -> LoadOptions:
        asked = {**model.parameters, **(options if isinstance(options, dict) else {})}
        for name in ("num_ctx", "num_batch", "num_thread"):
            if not isinstance(asked.get(name, 0), int | float):
                raise ApiError(500, f'option "{name}" must be of type integer')
        num_ctx = int(asked.get("num_ctx") or model.num_ctx or self.context_length)
        return LoadOptions(
            num_ctx=min(max(num_ctx, _SMALLEST_CONTEXT), model.trained_context),
            num_batch=asked.get("num_batch"),
            num_thread=asked.get("num_thread"),
            shift=shift,
        )
