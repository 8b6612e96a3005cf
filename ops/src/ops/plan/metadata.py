"""A GGUF file's metadata under its architecture's prefix, read as numbers; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# llama.cpp's own bound.
MOST_LAYERS = 512


class ShapeUnknown(Exception):
    """The file is no model that can be planned; the text says what is missing."""


class Fields:
    """The metadata of one architecture, under its prefix; arrays by layer are read as such."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields
        self.architecture = self.text("general.architecture")
        self.count = self.whole("block_count")
        if not 0 < self.count <= MOST_LAYERS or self.whole("context_length") <= 0:
            raise ShapeUnknown(f"it has {self.count} layers and a context of {self.whole('context_length')}: no model")

    def text(self, name: str, default: str | None = None) -> str:
        """Return a whole name's text."""
        found = self._fields.get(name, default)
        if not isinstance(found, str):
            raise ShapeUnknown(f"its metadata has no {name}; is this a language model's GGUF?")
        return found

    def get(self, name: str) -> Any:
        """Return a field of the architecture, or None."""
        return self._fields.get(f"{self.architecture}.{name}")

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a number; of an array the largest."""
        found = self.get(name)
        if isinstance(found, (list, tuple)) and found:
            found = max(found)
        found = default if found is None else found
        if not isinstance(found, (int, float)):
            raise ShapeUnknown(
                f"its metadata has no {self.architecture}.{name}; the file is damaged or of another kind"
            )
        return int(found)

    def by_layer(self, name: str, default: int | None = None) -> list[int]:
        """Return a number for each layer: the array's, or the same for all."""
        found = self.get(name)
        if isinstance(found, (list, tuple)):
            return [int(each) for each in found] + [int(found[-1])] * (self.count - len(found))
        return [self.whole(name, default)] * self.count

    def heads(self) -> tuple[list[int], list[int]]:
        """Return for each layer its heads, and those of keys and values: as many where the metadata does not tell."""
        heads = self.by_layer("attention.head_count", 0)
        return heads, heads if self.get("attention.head_count_kv") is None else self.by_layer("attention.head_count_kv")
