"""Small GGUF files that llama.cpp loads, one for each way of keeping what was read: weights of zero, no sense.

Sizes are uneven on purpose, so that a formula which takes one dimension for another shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFWriter

VOCABULARY = 1024
TRAINED = 65536
# The rows last, as llama.cpp prints it.
Shape = tuple[int, ...]
Tensors = dict[str, Shape]
# The architecture, its fields without their prefix, and its tensors.
Model = tuple[str, dict[str, Any], Tensors]


def gqa() -> Model:
    """Grouped queries: 12 heads over 3 of keys and values, as Llama."""
    embd, ff, layers, heads, kv, head = 768, 2048, 6, 12, 3, 64
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=kv, key_length=head, value_length=head)
    fields["rope.dimension_count"] = head
    block = {**_attention(embd, heads * head, kv * head, kv * head), **_feed_forward(embd, ff)}
    return "llama", fields, _tensors(embd, layers, lambda _: block)


def sliding_window() -> Model:
    """A window of 512 on every other layer, as Gemma 2."""
    embd, ff, layers, heads, kv, head = 512, 1536, 8, 4, 2, 128
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=kv, key_length=head, value_length=head)
    fields |= {"attention.sliding_window": 512, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
    norms = {"post_attention_norm.weight": (embd,), "post_ffw_norm.weight": (embd,)}
    block = {**_attention(embd, heads * head, kv * head, kv * head), **_feed_forward(embd, ff), **norms}
    return "gemma2", fields, _tensors(embd, layers, lambda _: block)


def olmo3() -> Model:
    """A window of 512 on three of four layers, under the name that Ollama gives to it and llama.cpp does not know."""
    embd, ff, layers, heads = 512, 1024, 8, 8
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=heads)
    fields |= {"attention.sliding_window": 512, "attention.sliding_window_pattern": [n % 4 != 3 for n in range(layers)]}
    block = {**_attention(embd, embd, embd, embd), **_feed_forward(embd, ff)}
    block |= {"attn_q_norm.weight": (embd,), "attn_k_norm.weight": (embd,)}
    block |= {"post_attention_norm.weight": (embd,), "post_ffw_norm.weight": (embd,)}
    del block["attn_norm.weight"], block["ffn_norm.weight"]
    return "olmo3", fields, {**_tensors(embd, layers, lambda _: block), "output.weight": (embd, VOCABULARY)}


def shared_layers() -> Model:
    """Two head sizes, a window of 256, and the last 2 layers without a cache of their own, as Gemma 4."""
    embd, ff, layers, heads, kv, full, window = 512, 1024, 8, 4, 2, 128, 64
    is_window = [layer % 3 != 2 for layer in range(layers)]
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=kv, key_length=full, value_length=full)
    fields |= {
        "attention.key_length_swa": window,
        "attention.value_length_swa": window,
        "attention.sliding_window": 256,
        "attention.sliding_window_pattern": is_window,
        "attention.shared_kv_layers": 2,
        "embedding_length_per_layer_input": 0,
        "rope.dimension_count": full,
        "rope.dimension_count_swa": window,
    }

    def block(layer: int) -> Tensors:
        head = window if is_window[layer] else full
        norms = {"attn_q_norm.weight": (head,), "attn_k_norm.weight": (head,)}
        norms |= {"post_attention_norm.weight": (embd,), "post_ffw_norm.weight": (embd,)}
        return {**_attention(embd, heads * head, kv * head, kv * head), **_feed_forward(embd, ff), **norms}

    tensors = _tensors(embd, layers, block)
    tensors["rope_freqs.weight"] = (full // 2,)
    return "gemma4", fields, tensors


def latent() -> Model:
    """One compressed latent for all heads (MLA), as DeepSeek 2; the first layers dense, as many as there are."""
    embd, ff, layers, heads, rank, queries, rope, nope, value = 512, 1024, 6, 8, 256, 192, 32, 64, 64
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=1, key_length=rank + rope, value_length=rank)
    fields |= {
        "attention.kv_lora_rank": rank,
        "attention.q_lora_rank": queries,
        "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": value,
        "rope.dimension_count": rope,
        "leading_dense_block_count": layers,
        "expert_feed_forward_length": 128,
        "expert_shared_count": 1,
    }
    block = {
        "attn_norm.weight": (embd,),
        "attn_q_a.weight": (embd, queries),
        "attn_q_a_norm.weight": (queries,),
        "attn_q_b.weight": (queries, heads * (nope + rope)),
        "attn_kv_a_mqa.weight": (embd, rank + rope),
        "attn_kv_a_norm.weight": (rank,),
        "attn_k_b.weight": (nope, rank, heads),
        "attn_v_b.weight": (rank, value, heads),
        "attn_output.weight": (heads * value, embd),
        **_feed_forward(embd, ff),
    }
    return "deepseek2", fields, _tensors(embd, layers, lambda _: block)


def recurrent() -> Model:
    """A state of a fixed size in place of keys and values, as Mamba."""
    embd, layers = 512, 6
    fields = _fields(embd, 0, layers, head_count=0) | _ssm(embd)
    return "mamba", fields, _tensors(embd, layers, lambda _: {"attn_norm.weight": (embd,), **_mamba(embd)})


def hybrid() -> Model:
    """Attention on every fourth layer, Mamba's state on the others, as Jamba."""
    embd, ff, layers, heads, kv = 512, 1024, 8, 8, 2
    heads_kv = [kv if layer % 4 == 1 else 0 for layer in range(layers)]
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=heads_kv)
    fields |= _ssm(embd)
    norms = {"ssm_dt_norm.weight": (_DT_RANK,), "ssm_b_norm.weight": (_STATE,), "ssm_c_norm.weight": (_STATE,)}

    def block(layer: int) -> Tensors:
        if heads_kv[layer]:
            return {**_attention(embd, embd, kv * embd // heads, kv * embd // heads), **_feed_forward(embd, ff)}
        return {"attn_norm.weight": (embd,), **_mamba(embd), **norms, **_feed_forward(embd, ff)}

    return "jamba", fields, _tensors(embd, layers, block)


def delta_net() -> Model:
    """Attention on every fourth layer, a gated delta net's state on the others, as Qwen 3.5."""
    embd, ff, layers, heads, kv, head = 512, 1024, 8, 4, 2, 128
    state, groups, ranks, convolution = 64, 4, 8, 4
    keys, values = state * groups, state * ranks
    fields = _fields(embd, ff, layers, head_count=heads, head_count_kv=kv, key_length=head, value_length=head)
    fields |= {
        "ssm.conv_kernel": convolution,
        "ssm.inner_size": values,
        "ssm.state_size": state,
        "ssm.time_step_rank": ranks,
        "ssm.group_count": groups,
        "rope.dimension_sections": [11, 11, 10, 0],
        "rope.dimension_count": 64,
    }

    def block(layer: int) -> Tensors:
        mixed: Tensors = {"post_attention_norm.weight": (embd,), **_feed_forward(embd, ff)}
        mixed.pop("ffn_norm.weight")
        if layer % 4 == 3:
            norms = {"attn_q_norm.weight": (head,), "attn_k_norm.weight": (head,)}
            attention = _attention(embd, heads * head * 2, kv * head, kv * head)
            return {**attention, "attn_output.weight": (heads * head, embd), **norms, **mixed}
        return {
            "attn_norm.weight": (embd,),
            "attn_qkv.weight": (embd, keys * 2 + values),
            "attn_gate.weight": (embd, values),
            "ssm_conv1d.weight": (convolution, keys * 2 + values),
            "ssm_dt.bias": (ranks,),
            "ssm_a": (ranks,),
            "ssm_beta.weight": (embd, ranks),
            "ssm_alpha.weight": (embd, ranks),
            "ssm_norm.weight": (state,),
            "ssm_out.weight": (values, embd),
            **mixed,
        }

    return "qwen35", fields, _tensors(embd, layers, block)


def experts() -> Model:
    """Two of eight experts for each token, as Qwen 3's mixtures."""
    embd, layers, heads, kv, head, count, ff = 512, 4, 8, 2, 64, 8, 384
    fields = _fields(embd, 1024, layers, head_count=heads, head_count_kv=kv, key_length=head, value_length=head)
    fields |= {"expert_count": count, "expert_used_count": 2, "expert_feed_forward_length": ff}
    block = {
        **_attention(embd, heads * head, kv * head, kv * head),
        "attn_q_norm.weight": (head,),
        "attn_k_norm.weight": (head,),
        "ffn_norm.weight": (embd,),
        "ffn_gate_inp.weight": (embd, count),
        "ffn_gate_exps.weight": (embd, ff, count),
        "ffn_up_exps.weight": (embd, ff, count),
        "ffn_down_exps.weight": (ff, embd, count),
    }
    return "qwen3moe", fields, _tensors(embd, layers, lambda _: block)


KINDS: Mapping[str, Callable[[], Model]] = {
    each.__name__: each
    for each in (gqa, sliding_window, olmo3, shared_layers, latent, recurrent, hybrid, delta_net, experts)
}


def write(folder: Path, kind: str) -> Path:
    """Write the model of one kind, and return its path."""
    architecture, fields, tensors = KINDS[kind]()
    path = folder / f"{kind}.gguf"
    writer = GGUFWriter(path, architecture)
    writer.add_name(kind)
    writer.add_file_type(1)
    _add_vocabulary(writer)
    for name, value in fields.items():
        _add(writer, f"{architecture}.{name}", value)
    for name, shape in tensors.items():
        wide = (len(shape) > 1 and not name.startswith("blk.")) or name.endswith(_HALF)
        writer.add_tensor(name, np.zeros(tuple(reversed(shape)), dtype=np.float16 if wide else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_EPSILON = {"attention.layer_norm_rms_epsilon": 1e-6}
_STATE, _DT_RANK, _CONVOLUTION = 16, 32, 4
_HALF: tuple[str, ...] = (
    "_q.weight",
    "_k.weight",
    "_v.weight",
    "_output.weight",
    "_gate.weight",
    "_up.weight",
    "_down.weight",
)
_HALF += ("_qkv.weight", "_a.weight", "_b.weight", "_mqa.weight", "_in.weight", "_out.weight", "_x.weight")


def _fields(embd: int, ff: int, layers: int, **attention: Any) -> dict[str, Any]:
    fields = {"context_length": TRAINED, "embedding_length": embd, "block_count": layers, "feed_forward_length": ff}
    return fields | {f"attention.{name}": value for name, value in attention.items()} | _EPSILON


def _ssm(embd: int) -> dict[str, Any]:
    return {
        "ssm.conv_kernel": _CONVOLUTION,
        "ssm.inner_size": 2 * embd,
        "ssm.state_size": _STATE,
        "ssm.time_step_rank": _DT_RANK,
    }


def _mamba(embd: int) -> Tensors:
    inner = 2 * embd
    return {
        "ssm_in.weight": (embd, 2 * inner),
        "ssm_conv1d.weight": (_CONVOLUTION, inner),
        "ssm_conv1d.bias": (inner,),
        "ssm_x.weight": (inner, _DT_RANK + 2 * _STATE),
        "ssm_dt.weight": (_DT_RANK, inner),
        "ssm_dt.bias": (inner,),
        "ssm_a": (_STATE, inner),
        "ssm_d": (inner,),
        "ssm_out.weight": (inner, embd),
    }


def _attention(embd: int, queries: int, keys: int, values: int) -> Tensors:
    return {
        "attn_norm.weight": (embd,),
        "attn_q.weight": (embd, queries),
        "attn_k.weight": (embd, keys),
        "attn_v.weight": (embd, values),
        "attn_output.weight": (queries, embd),
    }


def _feed_forward(embd: int, ff: int) -> Tensors:
    return {
        "ffn_norm.weight": (embd,),
        "ffn_gate.weight": (embd, ff),
        "ffn_up.weight": (embd, ff),
        "ffn_down.weight": (ff, embd),
    }


def _tensors(embd: int, layers: int, block: Callable[[int], Tensors]) -> Tensors:
    tensors: Tensors = {"token_embd.weight": (embd, VOCABULARY), "output_norm.weight": (embd,)}
    for layer in range(layers):
        tensors |= {f"blk.{layer}.{name}": shape for name, shape in block(layer).items()}
    return tensors


def _add_vocabulary(writer: GGUFWriter) -> None:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [f"token{number}" for number in range(VOCABULARY - len(tokens))]
    normal, unknown, control, byte = 1, 2, 3, 6
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_merges(["t o"])  # Gemma 4's tokenizer wants some
    writer.add_token_types([unknown, control, control, *[byte] * 256, *[normal] * (VOCABULARY - 259)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _add(writer: GGUFWriter, name: str, value: Any) -> None:
    if isinstance(value, list):
        writer.add_array(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    else:
        writer.add_uint32(name, value)


def all_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write every kind, and yield each with its path."""
    for kind in KINDS:
        yield kind, write(folder, kind)
