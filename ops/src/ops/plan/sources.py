"""Where a model's metadata is read: a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import GGUFReader

from ops.plan.gguf_facts import ModelShape, Tensor, model_shape


def from_gguf(path: Path) -> ModelShape:
    reader = GGUFReader(path)
    fields: dict[str, Any] = {name: field.contents() for name, field in reader.fields.items() if name != "tokenizer.ggml.tokens"}
    fields["tokenizer.ggml.tokens"] = range(len(reader.fields["tokenizer.ggml.tokens"].data))
    return model_shape(fields, [Tensor(each.name, each.n_bytes) for each in reader.tensors], path.name)
