"""Small stores in Ollama's layout, whole or damaged on purpose, and what an image tells of its own."""

import hashlib
import json
from pathlib import Path

from probe_agent.ollama.store import MODEL_MEDIA_TYPE, StoreManifest, read_manifest
from probe_agent.prompt_cache.image_manifest import ImageManifest, PromptCacheFile

WEIGHTS = b"weights " * 4096
# What an image tells of itself, every field given.
IMAGE = ImageManifest(
    model="m",
    digest="ab" * 32,
    format="gguf",
    quantization="Q4_0",
    parameter_size="4.3B",
    size_bytes=10,
    num_ctx=2048,
    trained_context=8192,
    num_parallel=2,
    ollama_version="0.32.15",
    blobs={"sha256-cd": 10},
    flags=("LLAMA_ARG_SWA_FULL=1", "--port", "1", "-c", "4096"),
    warmup_prompts=({"messages": [{"role": "user", "content": "Hello."}]},),
    prompt_cache=(PromptCacheFile(file="0.bin", size_bytes=3, prompt=0, tokens=12),),
)


def write_store(folder: Path, model: str = "m", weights: bytes = WEIGHTS) -> StoreManifest:
    """Write a model of two blobs, and return its manifest."""
    contents = {"application/vnd.docker.container.image.v1+json": b"{}", MODEL_MEDIA_TYPE: weights}
    config, layer = (
        {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}
        for kind, content in contents.items()
    )
    manifest = read_manifest(model, json.dumps({"schemaVersion": 2, "config": config, "layers": [layer]}).encode())
    for blob, content in zip(manifest.blobs, contents.values(), strict=True):
        path = folder / blob.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    place = folder / manifest.path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(manifest.content)
    return manifest


def weights_of(folder: Path, manifest: StoreManifest) -> Path:
    """Return the file of the weights."""
    assert manifest.weights is not None
    return folder / manifest.weights.path


def flip_a_bit(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage(path: Path, how: str) -> None:
    """Flip a bit of a file (`flipped`), cut its end (`truncated`) or half (`halved`), or remove it (`missing`)."""
    match how:
        case "flipped":
            flip_a_bit(path)
        case "truncated":
            path.write_bytes(path.read_bytes()[:-1])
        case "halved":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "missing":
            path.unlink()
        case _:
            raise ValueError(how)
