"""A model of the Llama kind in safetensors, 1.4 MB of random weights: whole enough to be converted, and to babble."""

from __future__ import annotations

import json
import random
import struct
from math import prod
from pathlib import Path

# Quantized in blocks of 256 numbers, so that a row must be made of whole ones.
HIDDEN, INNER, CONTEXT = 256, 512, 4096
BEGIN, END = "<|begin|>", "<|end|>"
# Of a byte-level vocabulary what is ASCII, with Ġ for the space and Ċ for the end of a line. Random bytes would be no
# text, and such an answer is an error to Ollama.
LETTERS = [*map(chr, range(0x21, 0x7F)), "Ġ", "Ċ"]


def write_tiny_model(folder: Path) -> Path:
    """Write the folder as a hub has it, the same to the byte each time; returns it."""
    folder.mkdir(parents=True)
    vocabulary = [*LETTERS, "he", BEGIN, END]
    tokens = {token: place for place, token in enumerate(vocabulary)}
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(vocabulary),
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "bos_token_id": tokens[BEGIN],
        "eos_token_id": tokens[END],
        "torch_dtype": "float16",
    }
    special = [{"id": tokens[token], "content": token, "special": True} for token in (BEGIN, END)]
    tokenizer = {
        "added_tokens": special,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": tokens, "merges": ["h e"]},
    }
    for name, content in {"config": config, "tokenizer": tokenizer}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": BEGIN, "eos_token": END}))
    (folder / "model.safetensors").write_bytes(_safetensors(_shapes(len(vocabulary))))
    return folder


def _shapes(words: int) -> dict[str, tuple[int, ...]]:
    layer = {f"self_attn.{part}_proj": (HIDDEN, HIDDEN) for part in "qkvo"}
    layer |= {"mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER)}
    norms = ("layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm")
    return {
        "model.embed_tokens.weight": (words, HIDDEN),
        **{f"model.layers.0.{name}.weight": shape for name, shape in layer.items()},
        **{f"model.{name}.weight": (HIDDEN,) for name in norms},
        "lm_head.weight": (words, HIDDEN),
    }


def _safetensors(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Return 16-bit random numbers under these names: eight bytes of length, a JSON header, the data."""
    numbers = random.Random(0)  # noqa: S311 — no secret
    header, data = {}, bytearray()
    for name, shape in shapes.items():
        start, count = len(data), prod(shape)
        data += struct.pack(f"<{count}e", *(numbers.gauss(0, 0.05) for _ in range(count)))
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": (start, len(data))}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
