"""Which model is served here: the file's where the local store has it, else the bundled one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops import local_store
from ops.local_store import StoreError
from ops.up.errors import LaunchError
from ops.up.runtime import Kind, Runtime
from probe_agent.ollama.names import same_model


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Models as PROBE_AGENT_MODEL names them, why they were chosen, and what the server needs for them."""

    models: str
    why: str = ""
    server_environ: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names without their contexts."""
        return tuple(model.partition("@")[0].strip() for model in self.models.split(","))

    @property
    def num_ctx(self) -> str | None:
        """Return the first model's context, in tokens, where one is given."""
        return self.models.split(",")[0].partition("@")[2] or None


def choose(
    wanted: str, *, asked: str | None, runtime: Runtime, environ: Mapping[str, str], num_ctx: str | None = None
) -> ModelChoice:
    """Choose what to serve. `wanted` is the file's, `asked` the operator's --model.

    `num_ctx` is the file's pin in tokens: a model that --model names without one gets it too.

    Raises:
        LaunchError: the operator asked for a model that is not here.

    """
    why = "--model" if asked else ""
    choice = ModelChoice(_pinned(asked, num_ctx) if asked else wanted, why)
    if runtime.kind not in (Kind.OLLAMA, Kind.STANDIN):
        return choice
    if runtime.kind is Kind.OLLAMA:
        store = local_store.user_store(environ)
        if all(local_store.has_model(store, name) for name in choice.names):
            return ModelChoice(choice.models, why, {"OLLAMA_MODELS": str(store)})
    if asked and not all(same_model(name, local_store.BUNDLED_MODEL) for name in choice.names):
        raise LaunchError(_absent(asked, runtime, environ))
    tokens = min(_number(choice.num_ctx or num_ctx), local_store.BUNDLED_NUM_CTX)
    why = why or "not in this machine's store; a small one is bundled"
    models = f"{local_store.BUNDLED_MODEL}@{tokens}"
    return ModelChoice(models, why, _bundled(runtime, tokens, environ))


def on_volume(
    wanted: str, *, asked: str | None, volume: str, store: Path, is_filled: bool, num_ctx: str | None = None
) -> ModelChoice:
    """Choose what is served from the store on an operator's `volume`: nothing but what lies there, or will.

    `is_filled`: a source brings the model while the service starts; else it must be there before.

    Raises:
        LaunchError: the model is not there.

    """
    choice = ModelChoice(_pinned(asked, num_ctx), "--model") if asked else ModelChoice(wanted)
    absent = [name for name in choice.names if not local_store.has_model(store, name)]
    if absent and not is_filled:
        there = ", ".join(local_store.model_names(store)) or "none"
        missing = f"volume {volume}: no model {', '.join(absent)} in the store {store}; there: {there}"
        raise LaunchError(f"{missing}; choose one of them with --model, or pull it by an Ollama that has this store")
    return choice


def _pinned(asked: str, num_ctx: str | None) -> str:
    """Return the models with a context each, where the file has one to give."""
    if num_ctx is None:
        return asked
    return ",".join(name if "@" in name else f"{name.strip()}@{num_ctx}" for name in asked.split(","))


def _absent(asked: str, runtime: Runtime, environ: Mapping[str, str]) -> str:
    bundled = f"--model {local_store.BUNDLED_MODEL}"
    if runtime.kind is Kind.STANDIN:
        return f"--model {asked}: the stand-in serves only its own model; use {bundled}, or a real Ollama"
    store = local_store.user_store(environ)
    advice = f"pull it there, set OLLAMA_MODELS, or use {bundled}"
    return f"--model {asked}: not in the Ollama store {store}; {advice}"


def _number(text: str | None) -> int:
    if text is None:
        return local_store.BUNDLED_NUM_CTX
    if not text.isdecimal() or int(text) < 1:
        raise LaunchError(f"@{text}: is no context length; expected a whole number of tokens, as in smollm2@4096")
    return int(text)


def _bundled(runtime: Runtime, num_ctx: int, environ: Mapping[str, str]) -> dict[str, str]:
    try:
        gguf = local_store.bundled_file()
        store = local_store.bundled_store(runtime.argv[0], num_ctx, environ) if runtime.kind is Kind.OLLAMA else None
    except StoreError as error:
        raise LaunchError(str(error)) from error
    if store:
        home = local_store.cache_directory(environ) / "home"
        home.mkdir(parents=True, exist_ok=True)
        return {"OLLAMA_MODELS": str(store), "HOME": str(home)}
    entry = {"name": local_store.BUNDLED_MODEL, "path": str(gguf), "num_ctx": num_ctx}
    return {"OLLAMA_STANDIN_MODELS": json.dumps([entry])}
