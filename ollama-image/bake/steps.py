"""The steps of the build, each one small; `bake` is their order."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bake.api import WORK_SECONDS
from bake.errors import BakeError
from bake.layout import lay_out, sha256_of
from bake.server import Server
from bake.settings import Settings
from bake.sources import check_context, check_width, files_of
from probe_agent.errors import BlobDamaged, ManifestRefused
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import StoreManifest, manifest_path, read_manifest
from probe_agent.prompt_cache.image_manifest import ImageManifest, PromptCacheFile

IMPORTED = "bake-import:latest"
REACH = "check MODEL, the registry and the way to it, and try again; or import the model by SOURCE"
TO_FOUR_BITS = "set QUANTIZE=q4_K_M (or q4_K_S) for weights of 16 or 32 bits, and leave it out for others"
FORWARD = "try again; if it stays, look at the server's lines above"
TENTHS = 10


def bake(settings: Settings) -> ImageManifest:
    """Do it all; raises `BakeError` for the first thing that fails."""
    files = files_of(settings.source) if settings.source else ()
    # What a failed build left: Ollama reads no upload of a blob that it has, and breaks the pipe.
    shutil.rmtree(settings.work, ignore_errors=True)
    with Server(settings.ollama, settings.work, settings.runtime_flags) as server:
        if settings.source:
            base = _import(server, settings.source, files, settings.quantize)
        else:
            base = _pull(server, settings.model)
        details, trained = _describe(server, base)
        check_width(details["quantization_level"], allow_wider=settings.allow_wider)
        check_context(settings.num_ctx, trained)
        model = _pin(server, settings, base)
        _verify(server, model)
        _load(server, settings)
        cached = tuple(_warm(server, settings))
        flags = server.runner()[1] if settings.prompt_cache else ()
        version = server.api.get("/api/version")["version"]
    image = ImageManifest(
        model=settings.model,
        digest=model.digest,
        format=details["format"],
        quantization=details["quantization_level"],
        parameter_size=details["parameter_size"],
        size_bytes=model.size_bytes,
        num_ctx=settings.num_ctx,
        trained_context=trained,
        num_parallel=settings.num_parallel,
        ollama_version=version,
        blobs={blob.file_name: blob.size_bytes for blob in model.blobs},
        flags=flags,
        warmup_prompts=tuple(json.loads(line) for line in settings.prompts_text.split("\n") if line.strip()),
        prompt_cache=cached,
    )
    lay_out(server.store, server.cache, model, image, settings.out)
    shutil.rmtree(settings.work)
    return image


def say(text: str) -> None:
    """Write one line of progress."""
    sys.stdout.write(f"bake: {text}\n")
    sys.stdout.flush()


def _pull(server: Server, model: str) -> str:
    say(f"pulling {model}")
    try:
        server.api.follow("/api/pull", {"model": model}, _teller())
    except BakeError as error:
        raise BakeError("ollama", f"pull {model}", error.why, REACH) from error
    return model


def _import(server: Server, source: Path, files: tuple[Path, ...], quantize: str) -> str:
    named = {}
    for file in files:
        say(f"importing {file.name}, {file.stat().st_size / 1e6:,.0f} MB")
        named[file.name] = f"sha256:{sha256_of(file)}"
        server.api.upload(named[file.name], file)
    wanted = {"quantize": quantize} if quantize else {}
    try:
        server.api.follow("/api/create", {"model": IMPORTED, "files": named, **wanted}, _teller())
    except BakeError as error:
        what = f"import {source.name}" + (f" as {quantize}" if quantize else "")
        raise BakeError("ollama", what, error.why, TO_FOUR_BITS if quantize else FORWARD) from error
    return IMPORTED


def _teller() -> Callable[[dict[str, Any]], None]:
    """Return what writes each new status, and each tenth of a long one."""
    told = set()

    def tell(line: dict[str, Any]) -> None:
        total, done = line.get("total") or 0, line.get("completed") or 0
        key = (line.get("status"), TENTHS * done // total if total else 0)
        if key not in told:
            told.add(key)
            say(f"  {key[0]}" + (f" {done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else ""))

    return tell


def _describe(server: Server, model: str) -> tuple[dict[str, str], int]:
    """Return the model's details and its trained context in tokens."""
    shown = server.api.post("/api/show", {"model": model})
    try:
        info = shown["model_info"]
        return dict(shown["details"]), int(info[f"{info['general.architecture']}.context_length"])
    except (KeyError, TypeError, ValueError) as error:
        why = f"/api/show does not tell {error}"
        raise BakeError("model", "describe", why, "take a model that generates text, in GGUF") from error


def _pin(server: Server, settings: Settings, base: str) -> StoreManifest:
    """Derive the model that is served: /v1 requests know no num_ctx, so the model itself must carry it."""
    say(f"pinning {settings.model} at num_ctx {settings.num_ctx}")
    fields = {"model": settings.model, "from": base, "parameters": {"num_ctx": settings.num_ctx}}
    server.api.follow("/api/create", fields, lambda _: None)
    try:
        return read_manifest(settings.model, (server.store / manifest_path(settings.model)).read_bytes())
    except (OSError, ManifestRefused) as error:
        raise BakeError("model", "manifest", error, FORWARD) from error


def _verify(server: Server, model: StoreManifest) -> None:
    for blob in model.blobs:
        try:
            check_blob(server.store / blob.path, blob)
        except BlobDamaged as error:
            raise BakeError("model", "verify", error, FORWARD) from error
    say(f"verified {len(model.blobs)} blobs, {model.size_bytes / 1e6:,.0f} MB")


def _load(server: Server, settings: Settings) -> None:
    answer = server.api.post("/api/generate", {"model": settings.model, "keep_alive": -1}, timeout=WORK_SECONDS)
    if answer.get("done_reason") != "load":
        why = f"Ollama answered done_reason {answer.get('done_reason')!r}, not load"
        raise BakeError("model", "load", why, "take a model that generates text")
    say(f"loaded {settings.model}")


def _warm(server: Server, settings: Settings) -> Iterator[PromptCacheFile]:
    for number, prompt in enumerate(settings.prompts):
        fields = {**prompt.request(settings.num_ctx), "model": settings.model, "stream": False, "keep_alive": -1}
        answer = server.api.post("/api/chat", fields, timeout=WORK_SECONDS)
        if not answer.get("done"):
            raise BakeError("model", f"warm-up prompt {number}", "the answer is not done", FORWARD)
        tokens, took = answer.get("prompt_eval_count", 0), answer.get("prompt_eval_duration", 0) / 1e9
        say(f"answered warm-up prompt {number}: {tokens} tokens in {took:.2f} s")
        if settings.prompt_cache:
            yield _save(server, number)


def _save(server: Server, number: int) -> PromptCacheFile:
    """Save the slot that has just answered, before another prompt takes it."""
    what, without = f"prompt cache {number}", "set PROMPT_CACHE=0"
    runner, _ = server.runner()
    slots = [slot for slot in runner.get("/slots") if "id_task" in slot]
    if not slots:
        raise BakeError("runner", what, "no slot has answered anything", without)
    slot = max(slots, key=lambda each: each["id_task"])["id"]
    path = server.cache / f"prompt-{number}.bin"
    try:
        saved = runner.post(f"/slots/{slot}?action=save", {"filename": path.name})
    except BakeError as error:  # 501: without --slot-save-path, or from an older llama.cpp with a projector
        raise BakeError("runner", what, error.why, without) from error
    size = path.stat().st_size if path.exists() else 0
    if not saved.get("n_saved") or not size:
        raise BakeError("runner", what, f"slot {slot} saved nothing", without)
    path = path.rename(path.with_name(f"sha256-{sha256_of(path)}"))
    say(f"saved prompt cache {number}: {saved['n_saved']} tokens, {size / 1e6:,.1f} MB")
    return PromptCacheFile(file=path.name, size_bytes=size, prompt=number, tokens=saved["n_saved"])
