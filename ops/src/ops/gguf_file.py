"""The header of a GGUF file, read by the `gguf` package: its metadata and its tensors."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFReader, GGUFValueType, LlamaFileType

MAGIC = b"GGUF"
# Longer arrays are skipped: a model has at most some hundred layers, a vocabulary hundreds of thousands of tokens.
LONGEST_ARRAY = 1024
# Tensors, or fields. The reader would follow a damaged count through the whole file.
MOST_ENTRIES = 2**17


class NotGguf(ValueError):
    """The file is not a GGUF file, or it is damaged."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's name, its size in the file, and its dimensions, the row length first."""

    name: str
    size_bytes: int
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Header:
    """Metadata and tensors. `fields` lacks long arrays."""

    fields: Mapping[str, Any]
    tensors: tuple[Tensor, ...] = ()

    @property
    def architecture(self) -> str:
        """The model family, such as "llama"."""
        return str(self.fields.get("general.architecture", "unknown"))

    @property
    def quantization(self) -> str:
        """The type of the weights, such as "Q4_1"."""
        return quantization(self.fields.get("general.file_type"))

    @property
    def parameter_count(self) -> int:
        """How many numbers the tensors hold."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def whole(self, key: str, default: int) -> int:
        """Return an integer field of the architecture, such as `context_length`."""
        value = self.fields.get(f"{self.architecture}.{key}", default)
        return value if isinstance(value, int) else default


def quantization(file_type: Any) -> str:
    """Return the name of a `general.file_type`, as Ollama writes it."""
    try:
        return LlamaFileType(file_type).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return "unknown"


def read_header(path: Path) -> Header:
    """Read a file's header.

    Raises:
        NotGguf: the file has another format, is damaged, or is shorter than its tensors.
        OSError: the file cannot be read.

    """
    with path.open("rb") as file:
        start = file.read(24)
    if not start.startswith(MAGIC):
        raise NotGguf(f"{path} is not a GGUF file: it begins with {start[:4]!r}")
    try:
        _, _, tensor_count, field_count = struct.unpack("<IIQQ", start)
        if max(tensor_count, field_count) > MOST_ENTRIES:
            raise ValueError(f"{tensor_count} tensors and {field_count} fields")  # noqa: TRY301 -- reported like the rest
        reader = _Reader(path)
        fields = {key: field.contents() for key, field in reader.fields.items() if field.data}
        tensors = [Tensor(each.name, int(each.n_bytes), tuple(map(int, each.shape))) for each in reader.tensors]
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise NotGguf(f"{path} is not a whole GGUF file ({error})") from error
    return Header(fields, tuple(tensors))


class _Reader(GGUFReader):
    """Skips long arrays. The reader otherwise makes an object of each token, which takes 8 s for Gemma 3."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        kind, count = struct.unpack_from("<IQ", self.data.data, orig_offs)
        if count <= LONGEST_ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        size = struct.calcsize("<IQ")
        if kind == GGUFValueType.STRING:
            for _ in range(count):
                size += 8 + struct.unpack_from("<Q", self.data.data, orig_offs + size)[0]
        else:
            size += count * self.gguf_scalar_to_np[GGUFValueType(kind)]().nbytes
        return size, [], [], [GGUFValueType.ARRAY, GGUFValueType(kind)]
