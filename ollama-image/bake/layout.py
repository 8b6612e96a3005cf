"""Lays the served model out for two COPY instructions: the weights, and all that is small.

The weights' folder is the same to the byte, owner and time whenever the model is: its layer is then shared.
"""

import hashlib
import os
import shutil
from pathlib import Path

from probe_agent.ollama.store import BlobRef, StoreManifest
from probe_agent.prompt_cache.image_manifest import ImageManifest

# Last words of the media types that hold weights.
LARGE = frozenset({"model", "projector", "adapter"})


def lay_out(store: Path, cache: Path, model: StoreManifest, image: ImageManifest, out: Path) -> None:
    """Move what is served out of `store` into `out`/model/models and `out`/rest/models; nothing else goes along."""
    shutil.rmtree(out, ignore_errors=True)
    weights, rest = out / "model" / "models", out / "rest" / "models"
    for blob in model.blobs:
        _move(store / blob.path, (weights if _large(blob) else rest) / blob.path)
    _move(store / model.path, rest / model.path)
    (rest / "prompt-cache").mkdir()
    # By name, and so once: prompts that are the same leave the same state.
    saved = {f"prompt-cache/{file.file}": file.size_bytes for file in image.prompt_cache}
    for path in saved:
        _move(cache / Path(path).name, rest / path)
    (rest / "manifest.json").write_text(image.as_text(), encoding="utf-8")
    sizes = {blob.path: blob.size_bytes for blob in model.blobs} | saved
    (rest / "blobs.txt").write_text("".join(f"{size} {path}\n" for path, size in sizes.items()))
    for folder in (out / "model", out / "rest"):
        _settle(folder)


def sha256_of(path: Path) -> str:
    """Return 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _large(blob: BlobRef) -> bool:
    return blob.media_type.rpartition(".")[2] in LARGE


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(source, target)


def _settle(folder: Path) -> None:
    """Owner root, read-only, time 0: contents first, since they touch the folder's own time."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        if os.geteuid() == 0:
            os.chown(path, 0, 0)
        # The folder itself becomes the image's root directory.
        path.chmod(0o755 if path == folder else 0o555 if path.is_dir() else 0o444)
        os.utime(path, (0, 0))
