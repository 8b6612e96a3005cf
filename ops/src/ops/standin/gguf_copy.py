"""A GGUF file as an import stores it: Ollama passes it through `llama-quantize … COPY`, which puts it in order.

Two fields go to the end, the tensors are sorted by layer and name, and each one's data is padded. The weights
themselves stay as they are, so the copy has no need of llama.cpp, and is the same file to the byte.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

from ops.standin import gguf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VERSION_KEY, _TYPE_KEY = "general.quantization_version", "general.file_type"
_DEFAULT_VERSION = struct.pack("<Q", len(_VERSION_KEY)) + _VERSION_KEY.encode() + struct.pack("<II", 4, 2)
"""A field of type 4, an unsigned number of 32 bits: the version is 2."""
_SPLIT = ("split.no", "split.count", "split.tensors.count")
_ALIGNMENT = 32
"""Bytes, where `general.alignment` does not say otherwise."""
_VERSION = 3
_PIECE_BYTES = 4 << 20
_LAYER = re.compile(rb"blk\.(-?\d+)")


def pieces(source: Path) -> Iterator[bytes]:
    """Yield the bytes of the copy, a few MB at a time; gguf.NotGguf for what is none, or is one part of several.

    A file that is cut inside its last tensor is copied as it is: that shows when it is loaded.
    """
    with gguf.opened(source) as reader:
        entries, alignment = _fields(reader)
        tensors = sorted(reader.tensors(), key=_order)
        begin = _padded(reader.at, alignment)
        starts = sorted(tensor.offset for tensor in tensors)
        ends = [*starts[1:], len(reader.data) - begin]
        sizes = {start: end - start for start, end in zip(starts, ends, strict=False)}
        if min(sizes.values(), default=0) < 0:
            raise gguf.NotGguf(f"{source} is cut inside its weights")

        parts, offset = [gguf.MAGIC, struct.pack("<IQQ", _VERSION, len(tensors), len(entries)), *entries], 0
        for tensor in tensors:
            parts += tensor.head, struct.pack("<Q", offset)
            offset += _padded(sizes[tensor.offset], alignment)
        header = b"".join(parts)
        yield header.ljust(_padded(len(header), alignment), b"\0")
        for tensor in tensors:
            size, first = sizes[tensor.offset], begin + tensor.offset
            for at in range(first, first + size, _PIECE_BYTES):
                yield reader.data[at : min(at + _PIECE_BYTES, first + size)]
            yield b"\0" * (_padded(size, alignment) - size)


def _fields(reader: gguf.Reader) -> tuple[list[bytes], int]:
    """Return the fields in the copy's order, and the alignment of the data in bytes."""
    entries, alignment = {}, _ALIGNMENT
    for key, value, entry in reader.fields():
        if key == "general.alignment":
            alignment = value
        if key == "split.count" and value > 1:
            raise gguf.NotGguf(f"it is one of the {value} files of a model: merge them with llama-gguf-split")
        if key not in _SPLIT:
            entries[key] = entry
    last = [entries.pop(_VERSION_KEY, _DEFAULT_VERSION)]
    if _TYPE_KEY in entries:  # llama-quantize would guess one that is missing
        last.append(entries.pop(_TYPE_KEY))
    return [*entries.values(), *last], alignment


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


def _order(tensor: gguf.Tensor) -> tuple[int, bytes]:
    """What belongs to no layer comes first, then layer by layer."""
    layer = _LAYER.match(tensor.name)
    return int(layer[1]) if layer else -1, tensor.name
