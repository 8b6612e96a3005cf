"""Metadata of Ollama's published files under llama.cpp's names; pure.

Ollama names some architectures otherwise than llama.cpp, and translates them when it loads the file.
Source: `llama/compat` of Ollama 0.32.15; only the fields that decide a model's memory are translated here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ops.gguf_file import Tensor

# llama.cpp's name for each of Ollama's names.
RENAMED = {
    "deepseekocr": "deepseek2-ocr",
    "glm4moelite": "deepseek2",
    "glmocr": "glm4",
    "gptoss": "gpt-oss",
    "olmo3": "olmo2",
    "qwen25vl": "qwen2vl",
}
# Where the width of an expert or a feed-forward layer is read from a tensor, and which dimension it is.
WIDTHS = {
    "deepseek2-ocr": ("expert_feed_forward_length", "blk.1.ffn_down_exps.weight", 0),
    "gpt-oss": ("expert_feed_forward_length", "blk.0.ffn_gate_exps.weight", 1),
}


def translated(fields: Mapping[str, Any], tensors: Sequence[Tensor]) -> Mapping[str, Any]:
    """Return the fields as llama.cpp reads them after Ollama's translation."""
    found = fields.get("general.architecture")
    if not isinstance(found, str) or not (name := _name(found, fields, tensors)):
        return fields
    own = {key.removeprefix(f"{found}."): value for key, value in fields.items() if key.startswith(f"{found}.")}
    if found == "glm4moelite":
        own |= _latent(own)
    if name in WIDTHS:
        key, tensor, dimension = WIDTHS[name]
        shape = next((each.shape for each in tensors if each.name == tensor), None)
        if key not in own and shape:
            own[key] = shape[dimension]
    renamed = {f"{name}.{key}": value for key, value in own.items()}
    return {**fields, "general.architecture": name, **renamed}


def _name(found: str, fields: Mapping[str, Any], tensors: Sequence[Tensor]) -> str | None:
    if found == "gemma3" and ("gemma3.pooling_type" in fields or any(t.name == "dense.0.weight" for t in tensors)):
        return "gemma-embedding"
    if found == "nemotron_h_omni":
        return "nemotron_h_moe" if fields.get(f"{found}.expert_count") else "nemotron_h"
    return RENAMED.get(found)


def _latent(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attention of a GLM 4 MoE Lite as llama.cpp's MLA: one compressed row for all heads."""
    rank, head = own.get("attention.kv_lora_rank", 0), own.get("attention.key_length", 0)
    return {
        "attention.head_count_kv": 1,
        "attention.key_length": rank + own.get("rope.dimension_count", 0),
        "attention.value_length": rank,
        "attention.key_length_mla": head,
        "attention.value_length_mla": head,
    }
