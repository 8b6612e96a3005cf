"""GGUF files of a few hundred bytes: enough of a model for everything but an answer."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probe_agent.ollama.store import MODEL_MEDIA_TYPE, manifest_path

# Strings, and whole numbers of 32 bits.
FIELDS: dict[str, str | int] = {
    "general.architecture": "llama",
    "general.file_type": 15,
    "llama.context_length": 4096,
    "general.name": "tiny",
}
# How many numbers each has: 32 bits wide, all of them the count itself.
TENSORS = {"output.weight": 2, "blk.10.attn.weight": 3, "blk.2.attn.weight": 4, "blk.2.a.weight": 40}


def gguf(
    fields: Mapping[str, str | int] | None = None, tensors: Mapping[str, int] | None = None, alignment: int = 32
) -> bytes:
    """Return a file with these fields and tensors, in this order."""
    fields, tensors = FIELDS if fields is None else fields, TENSORS if tensors is None else tensors
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(fields))]
    for key, value in fields.items():
        parts += (
            _string(key),
            struct.pack("<II", 4, value) if isinstance(value, int) else struct.pack("<I", 8) + _string(value),
        )
    data = b""
    for name, count in tensors.items():
        parts += _string(name), struct.pack("<IQIQ", 1, count, 0, len(data))
        data += _pad(struct.pack("<f", count) * count, alignment)
    return _pad(b"".join(parts), alignment) + data


def write_model(root: Path, name: str, layers: Mapping[str, bytes | None]) -> None:
    """Write a model of these layers, by the last words of their media types; None leaves the blob out."""
    entries = []
    for kind, content in {"config": b"{}", **layers}.items():
        sha256 = hashlib.sha256(content or b"").hexdigest()
        media_type = f"{MODEL_MEDIA_TYPE.rpartition('.')[0]}.{kind}"
        entries.append({"mediaType": media_type, "digest": f"sha256:{sha256}", "size": len(content or b"")})
        if content is not None:
            _write(root / "blobs" / f"sha256-{sha256}", content)
    document: dict[str, Any] = {"schemaVersion": 2, "config": entries[0], "layers": entries[1:]}
    _write(root / manifest_path(name), json.dumps(document).encode())


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _pad(content: bytes, alignment: int) -> bytes:
    return content + b"\0" * (-len(content) % alignment)
