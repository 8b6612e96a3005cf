"""The stand-in as a process: settings from Ollama's variables, and a server that stops as Ollama does."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import uvicorn

from ops import smollm2
from ops.standin import wire
from ops.standin.abrupt import AbruptServer, listen
from ops.standin.disk import DiskStore
from ops.standin.errors import ApiError
from ops.standin.llamacpp import LlamaCppEngine, stored_model
from ops.standin.server import StandIn
from probe_agent.ollama.host import Host, parse


@dataclass(frozen=True)
class File:
    """One model to serve."""

    name: str
    path: Path
    num_ctx: int | None = None


@dataclass(frozen=True)
class Settings:
    """What Ollama's variables say; the defaults are Ollama's."""

    host: Host
    models: tuple[File, ...]
    # A store in Ollama's layout, served and added to.
    store: Path | None
    context_length: int
    num_parallel: int
    keep_alive: float
    max_queue: int
    max_loaded_models: int
    kv_cache_type: str
    cache_ram_mib: int
    # Of llama.cpp; 0 is one for each core.
    threads: int
    # Seconds; Ollama's is fixed at ten, OLLAMA_STANDIN_PING_TIMEOUT ("1s") is for tests.
    ping_timeout: float

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables; ValueError names the one that is wrong."""
        store = environ.get("OLLAMA_MODELS")
        return cls(
            host=parse(environ.get("OLLAMA_HOST", "")),
            models=_models(environ.get("OLLAMA_STANDIN_MODELS") or ("[]" if store else "")),
            store=Path(store) if store else None,
            context_length=_count(environ, "OLLAMA_CONTEXT_LENGTH", 4096),
            num_parallel=_count(environ, "OLLAMA_NUM_PARALLEL", 1),
            keep_alive=_seconds(environ, "OLLAMA_KEEP_ALIVE", "5m"),
            max_queue=_count(environ, "OLLAMA_MAX_QUEUE", 512),
            max_loaded_models=_count(environ, "OLLAMA_MAX_LOADED_MODELS", 3),
            kv_cache_type=environ.get("OLLAMA_KV_CACHE_TYPE") or "f16",
            cache_ram_mib=_count(environ, "LLAMA_ARG_CACHE_RAM", 8192),
            threads=_count(environ, "LLAMA_ARG_THREADS", 0),
            ping_timeout=_seconds(environ, "OLLAMA_STANDIN_PING_TIMEOUT", "10s"),
        )


def serve(settings: Settings) -> None:
    """Open the port, then read what there is to serve, then serve until a signal."""
    listener = listen(settings.host.name or "0.0.0.0", settings.host.port)  # noqa: S104 -- as Ollama reads ":11434"
    server = StandIn(
        models=[stored_model(file.name, file.path, file.num_ctx) for file in settings.models],
        engine=LlamaCppEngine(
            kv_cache_type=settings.kv_cache_type,
            cache_ram_mib=settings.cache_ram_mib,
            threads=settings.threads,
        ),
        context_length=settings.context_length,
        num_parallel=settings.num_parallel,
        keep_alive=settings.keep_alive,
        max_queue=settings.max_queue,
        max_loaded_models=settings.max_loaded_models,
        ping_timeout_seconds=settings.ping_timeout,
        loopback=settings.host.is_loopback,
        disk=DiskStore(settings.store) if settings.store else None,
    )
    AbruptServer(uvicorn.Config(server, log_config=None, access_log=False)).run([listener])


def _models(text: str) -> tuple[File, ...]:
    if not text:
        return (File(smollm2.NAME, smollm2.gguf_path()),)
    try:
        entries: list[dict[str, Any]] = json.loads(text)
        return tuple(File(entry["name"], Path(entry["path"]), entry.get("num_ctx")) for entry in entries)
    except (ValueError, TypeError, KeyError) as error:
        example = '[{"name": "m", "path": "/m.gguf", "num_ctx": 8192}]'
        raise ValueError(f"OLLAMA_STANDIN_MODELS is not a list such as {example}: {error!r}") from error


def _count(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdigit():
        raise ValueError(f"{name}={text!r} is not a whole number from 0 up")
    return int(text) or default


def _seconds(environ: Mapping[str, str], name: str, default: str) -> float:
    text = environ.get(name) or default
    try:
        seconds = float(text) if text.lstrip("-").isdigit() else wire.duration_seconds(text)
    except ApiError as error:
        raise ValueError(f"{name}={text!r}: {error}; write 5m, 3600 or -1") from error
    return math.inf if seconds < 0 else seconds
