"""The header of a GGUF file: its metadata and its number of weights.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. The reference reader needs NumPy, which
is much for what fits in a page: keys with scalar values, and the shapes of the tensors.
"""

from __future__ import annotations

import math
import mmap
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAGIC = b"GGUF"
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LENGTH = struct.Struct("<Q")
_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    25: "IQ4_NL",
    30: "IQ4_XS",
    32: "BF16",
    38: "MXFP4_MOE",
}
"""llama.cpp's `llama_ftype`, the ones in use."""


class NotGguf(ValueError):
    """The file is no GGUF, or a damaged one."""


@dataclass(frozen=True)
class Header:
    """What the header says; arrays are left out of `fields`."""

    fields: Mapping[str, Any]
    weights: int = 0
    """How many numbers the tensors hold."""

    @property
    def architecture(self) -> str:
        """The family, such as "llama"."""
        return str(self.fields.get("general.architecture", "unknown"))

    @property
    def parameter_size(self) -> str:
        """The number of weights as Ollama writes it, such as "134.52M" or "3.2B"."""
        billions, millions = self.weights / 1e9, self.weights / 1e6
        if billions >= 1:
            return f"{billions:.0f}B" if billions.is_integer() else f"{billions:.1f}B"
        return f"{millions:.0f}M" if millions.is_integer() else f"{millions:.2f}M"

    @property
    def quantization_level(self) -> str:
        """The width of the weights, such as "Q4_1"."""
        return _FILE_TYPES.get(self.fields.get("general.file_type", -1), "unknown")

    def of_architecture(self, key: str, default: int) -> int:
        """Return an integer of the architecture's own, such as `context_length`."""
        value = self.fields.get(f"{self.architecture}.{key}", default)
        return value if isinstance(value, int) else default

    def cache_bytes(self, tokens: int) -> int:
        """Return what a key-value cache of `tokens` takes at sixteen bits a value."""
        heads = self.of_architecture("attention.head_count", 1)
        width = self.of_architecture("embedding_length", 0) // max(heads, 1)
        keys_and_values = 2 * self.of_architecture("attention.head_count_kv", heads) * width
        return tokens * self.of_architecture("block_count", 0) * keys_and_values * 2


def read_header(path: Path) -> Header:
    """Read a file's header; NotGguf for another format or a cut file, OSError as usual."""
    with opened(path) as reader:
        fields = {key: value for key, value, _ in reader.fields() if value is not None}
        return Header(fields, sum(tensor.weights for tensor in reader.tensors()))


@contextmanager
def opened(path: Path) -> Iterator[Reader]:
    """Yield a reader at the first field; NotGguf for another format or what is found cut or damaged meanwhile."""
    with path.open("rb") as file:
        if (magic := file.read(len(MAGIC))) != MAGIC:
            raise NotGguf(f"{path} is no GGUF file: it begins with {magic!r}")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                yield Reader(data)
            except (struct.error, UnicodeDecodeError, KeyError) as error:
                raise NotGguf(f"{path} has a damaged GGUF header: {error}") from error


@dataclass(frozen=True)
class Tensor:
    """One tensor of the header."""

    name: bytes
    weights: int
    """How many numbers it holds."""
    head: bytes
    """Its entry in the header as it stands there, without the offset at its end."""
    offset: int
    """Bytes from the beginning of the data to its own."""


class Reader:
    """Reads the parts of a header in their order: all fields, then all tensors."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.at = len(MAGIC)
        """Bytes read so far; after the tensors, where the header ends."""
        self._number("I")  # the format's version: 2 and 3 have the same layout
        self._tensors, self._fields = self._number("Q"), self._number("Q")

    def fields(self) -> Iterator[tuple[str, Any, bytes]]:
        """Yield each key, its value (None for an array), and the entry as it stands in the file."""
        for _ in range(self._fields):
            begin = self.at
            key = self._string().decode()
            yield key, self._value(self._number("I")), self.data[begin : self.at]

    def tensors(self) -> Iterator[Tensor]:
        """Yield each tensor."""
        for _ in range(self._tensors):
            begin = self.at
            name = self._string()
            shape = [self._number("Q") for _ in range(self._number("I"))]
            self._number("I")
            head = self.data[begin : self.at]
            yield Tensor(name, math.prod(shape), head, self._number("Q"))

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string().decode()
        if kind != _ARRAY:
            return self._number(_SCALARS[kind])
        kind, count = self._number("I"), self._number("Q")
        if kind in _SCALARS:
            self.at += count * struct.calcsize(_SCALARS[kind])
        elif kind == _STRING:
            for _ in range(count):  # a vocabulary has hundreds of thousands: none is cut out, nor decoded
                self.at += _LENGTH.size + _LENGTH.unpack_from(self.data, self.at)[0]
        else:
            for _ in range(count):
                self._value(kind)
        return None

    def _string(self) -> bytes:
        length = self._number("Q")
        self.at += length
        return self.data[self.at - length : self.at]

    def _number(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += struct.calcsize(code)
        return value
