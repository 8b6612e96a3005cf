"""How `ops plan` reads a model: real files, and the metadata of architectures that are too large to keep here."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab import attention_ggufs, ggufs
from ops import smollm2
from ops.gguf_file import Tensor
from ops.plan.errors import PlanRefused, SourceError
from ops.plan.gguf_facts import ModelShape, model_shape
from ops.plan.layers import Layer
from ops.plan.metadata import ShapeUnknown
from ops.plan.sources import PROJECTOR_MEDIA_TYPE, from_gguf, shape_of


def shape(architecture: str, tensors: tuple[Tensor, ...] = (), **fields: Any) -> ModelShape:
    """Return the shape of a model with these fields beside usual ones; a double underscore stands for a dot."""
    usual = {"context_length": 131072, "embedding_length": 2048, "block_count": 8, "feed_forward_length": 8192}
    usual |= {"attention.head_count": 16, "attention.head_count_kv": 4, "attention.key_length": 128}
    usual |= {"attention.value_length": 128}
    every = {**usual, **{name.replace("__", "."): value for name, value in fields.items()}}
    prefixed = {f"{architecture}.{name}": value for name, value in every.items() if value is not None}
    return model_shape({"general.architecture": architecture, **prefixed}, tensors, "m")


def windows(found: ModelShape) -> str:
    """Return a letter for each layer: w for a window, f for the whole context, r for a recurrent state, - for none."""
    return "".join(
        "w" if each.is_window else "f" if each.key_width else "r" if each.state_width else "-" for each in found.layers
    )


def test_a_real_file_is_read() -> None:
    """The small model: 30 layers of 3 heads of 64 numbers, trained for 8192 tokens, its table both input and output."""
    found = from_gguf(smollm2.gguf_path())
    assert found.layers == (Layer(192, 192),) * 30
    assert (found.architecture, found.quantization, found.trained_context) == ("llama", "Q4_1", 8192)
    assert found.vocabulary == 49152
    assert found.duplicated_bytes == found.host_bytes > 0


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("gqa", "ffffff"),
        ("sliding_window", "wfwfwfwf"),
        ("olmo3", "wwwfwwwf"),
        ("shared_layers", "wwfwwf--"),
        ("latent", "ffffff"),
        ("recurrent", "rrrrrr"),
        ("hybrid", "rfrrrfrr"),
        ("delta_net", "rrrfrrrf"),
        ("experts", "ffff"),
    ],
)
def test_each_kind_of_attention_is_told_from_its_file(kind: str, pattern: str, tmp_path: Any) -> None:
    """Of files that llama.cpp loads, each layer is what it is there."""
    assert windows(from_gguf(attention_ggufs.write(tmp_path, kind))) == pattern


@pytest.mark.parametrize(
    ("architecture", "fields", "pattern", "window"),
    [
        ("gemma3", {"attention__sliding_window": 1024}, "wwwwwfww", 1024),
        ("gemma3", {}, "ffffffff", 0),
        ("gemma2", {}, "wfwfwfwf", 4096),
        ("gpt-oss", {"attention__sliding_window": 128}, "wfwfwfwf", 128),
        ("cohere2", {"attention__sliding_window": 4096, "attention__sliding_window_pattern": 2}, "wfwfwfwf", 4096),
        ("llama4", {}, "wwwfwwwf", 8192),
        ("llama4", {"attention__sliding_window": 0}, "ffffffff", 0),
        ("smallthinker", {"attention__sliding_window": 512}, "fwwwfwww", 4096),
        ("exaone4", {"attention__sliding_window": 4096}, "ffffffff", 0),
        ("phi3", {"attention__sliding_window": 2047}, "ffffffff", 0),
        ("mimo2", {"attention__sliding_window": 128, "attention__sliding_window_pattern": [1, 0] * 4}, "wfwfwfwf", 128),
        ("gemma3n", {"attention__sliding_window": 512, "block_count": 22}, "wwwwf" * 4 + "--", 512),
        ("step35", {"attention__sliding_window": 512, "attention__sliding_window_pattern": [1] * 7,
                    "nextn_predict_layers": 1}, "wwwwwww-", 512),
        ("lfm2", {"attention__head_count_kv": [0, 0, 4, 0, 0, 4, 0, 0], "shortconv__l_cache": 3}, "rrfrrfrr", 0),
        ("nemotron_h", {"attention__head_count_kv": [0, 0, 4, 0, 0, 4, 0, 0], "ssm__conv_kernel": 4,
                        "feed_forward_length": [0, 9, 0, 9, 0, 0, 0, 9], "ssm__inner_size": 64}, "r-f-rfr-", 0),
        ("qwen3next", {"attention__recurrent_layers": [1, 1, 0, 1, 1, 1, 0, 1], "ssm__conv_kernel": 4,
                       "ssm__inner_size": 64}, "rrfrrrfr", 0),
        ("falcon-h1", {"ssm__conv_kernel": 4, "ssm__inner_size": 64, "ssm__state_size": 16}, "ffffffff", 0),
        ("bert", {}, "--------", 0),
    ],
)  # fmt: skip
def test_architectures_have_their_own_rules(
    architecture: str, fields: dict[str, Any], pattern: str, window: int
) -> None:
    """Where the metadata is silent, llama.cpp's own defaults for the architecture hold."""
    found = shape(architecture, **fields)
    assert (windows(found), found.window) == (pattern, window)


def test_states_of_recurrent_layers() -> None:
    """Mamba keeps its convolution's tail and its state; RWKV two rows and a matrix; a delta attention of Kimi both."""
    mamba = shape("mamba", ssm__conv_kernel=4, ssm__inner_size=4096, ssm__state_size=16, attention__head_count=0)
    assert mamba.layers[0].state_width == 3 * 4096 + 16 * 4096
    rwkv = shape("rwkv7", wkv__head_size=64)
    assert rwkv.layers[0].state_width == 2 * 2048 + 2048 * 64
    kimi = shape("kimi-linear", kda__head_dim=128, ssm__conv_kernel=4, attention__head_count_kv=[0, 0, 0, 1] * 2)
    assert kimi.layers[0].state_width == 3 * 3 * 16 * 128 + 128 * 128 * 16


def test_both_kinds_in_one_layer() -> None:
    """Falcon H1 has keys, values and a state in every layer."""
    found = shape("falcon-h1", ssm__conv_kernel=4, ssm__inner_size=64, ssm__state_size=16)
    assert found.layers[0].key_width == 512
    assert found.layers[0].state_width == 3 * 64 + 16 * 64


def test_a_latent_is_kept_once() -> None:
    """MLA keeps one compressed row for all heads, and no values; the words say so."""
    found = shape(
        "deepseek2",
        attention__head_count_kv=1,
        attention__key_length=576,
        attention__value_length=512,
        attention__key_length_mla=192,
        attention__kv_lora_rank=512,
    )
    assert found.layers[0] == Layer(576, 0)
    assert found.attention == "latent (MLA) on 8 layers"


@pytest.mark.parametrize("architecture", ["deepseek4", "glm-dsa", "t5", "invented-in-2027"])
def test_an_unknown_architecture_is_refused(architecture: str) -> None:
    """An architecture that is not in the list of the known is refused by its name, never planned as full attention."""
    with pytest.raises(ShapeUnknown, match=architecture):
        shape(architecture)


EXPERTS = Tensor("blk.0.ffn_gate_exps.weight", 100, (2880, 2880, 32))
EMBEDS = Tensor("dense.0.weight", 100, (768, 3072))


@pytest.mark.parametrize(
    ("ollamas", "llama_cpps", "fields", "tensors"),
    [
        ("gptoss", "gpt-oss", {"attention__sliding_window": 128, "expert_used_count": 4}, (EXPERTS,)),
        ("olmo3", "olmo2", {"attention__sliding_window": 4096}, ()),
        ("gemma3", "gemma-embedding", {"pooling_type": 1}, ()),
        ("gemma3", "gemma-embedding", {}, (EMBEDS,)),
        ("qwen25vl", "qwen2vl", {}, ()),
        ("glmocr", "glm4", {}, ()),
        ("nemotron_h_omni", "nemotron_h", {"attention__head_count_kv": [0, 4] * 4, "ssm__conv_kernel": 4}, ()),
        ("nemotron_h_omni", "nemotron_h_moe", {"expert_count": 8, "ssm__conv_kernel": 4}, ()),
    ],
)  # fmt: skip
def test_ollamas_dialects_are_translated(
    ollamas: str, llama_cpps: str, fields: dict[str, Any], tensors: tuple[Tensor, ...]
) -> None:
    """A file under Ollama's name for an architecture has the shape of the same file under llama.cpp's name."""
    known = {"expert_feed_forward_length": 2880} if ollamas == "gptoss" else {}
    assert shape(ollamas, tensors, **fields) == shape(llama_cpps, tensors, **fields, **known)


def test_the_attention_of_glm_4_flash_is_compressed() -> None:
    """Ollama names 20 heads for keys and values; llama.cpp keeps one row of 512 + 64 numbers a token, and no values."""
    found = shape(
        "glm4moelite",
        attention__head_count_kv=20,
        attention__key_length=256,
        attention__kv_lora_rank=512,
        rope__dimension_count=64,
    )
    assert (found.architecture, found.layers[0]) == ("deepseek2", Layer(576, 0))


def test_tensors_of_an_encoder_are_the_projector() -> None:
    """Older files hold an image's encoder beside the text's weights: it is counted by itself."""
    tensors = (Tensor("blk.0.attn_q.weight", 100), Tensor("v.blk.0.attn_q.weight", 30), Tensor("mm.0.weight", 12))
    found = shape("gemma3", tensors)
    assert (found.weight_bytes, found.projector_bytes) == (100, 42)


def test_untied_tables() -> None:
    """The input's table stays with the host; with an output of its own it is on the GPU no second time."""
    table, output = Tensor("token_embd.weight", 100, (2048, 1000)), Tensor("output.weight", 90)
    tied, untied, twice = shape("llama", (table,)), shape("llama", (table, output)), shape("gemma4", (table,))
    assert (tied.duplicated_bytes, tied.host_bytes, tied.weight_bytes) == (100, 100, 100)
    assert (untied.duplicated_bytes, untied.host_bytes, untied.weight_bytes) == (0, 100, 190)
    assert (twice.duplicated_bytes, twice.weight_bytes) == (0, 200)


def test_one_slot_where_ollama_gives_one() -> None:
    """Some architectures, and every embedding model, are served one request at a time."""
    assert shape("qwen35").has_one_slot
    assert shape("qwen3", pooling_type=3).has_one_slot
    assert not shape("qwen3").has_one_slot


def test_a_model_of_a_store_is_read_with_its_projector(tmp_path: Any) -> None:
    """By its name in Ollama's store: the weights, and beside them the projector's own file."""
    weights = attention_ggufs.write(tmp_path, "gqa").read_bytes()
    ggufs.write_model(tmp_path / "store", "seer", {"model": weights, "projector": ggufs.gguf()})
    found = shape_of("seer", store=tmp_path / "store", url=None)
    assert found.name == "seer"
    assert found.projector_bytes == sum(4 * count for count in ggufs.TENSORS.values())
    assert PROJECTOR_MEDIA_TYPE.endswith(".projector")


def test_what_cannot_be_read_ends_in_one_line(tmp_path: Any) -> None:
    """A missing file, one that is none, a cut one and an unknown model: each error names it and what to do."""
    whole = attention_ggufs.write(tmp_path, "gqa").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:30000])
    (tmp_path / "no.gguf").write_bytes(b"not a model at all, by any means" * 4)
    for name, words in (("absent", "cannot be read"), ("cut", "not a whole GGUF"), ("no", "not a GGUF")):
        with pytest.raises(SourceError, match=words):
            shape_of(str(tmp_path / f"{name}.gguf"), store=None, url=None)
    with pytest.raises(SourceError, match="no model absent"):
        shape_of("absent", store=tmp_path, url=None)
    tiny = tmp_path / "tiny.gguf"
    tiny.write_bytes(ggufs.gguf())
    with pytest.raises(PlanRefused, match=r"llama\.block_count"):
        shape_of(str(tiny), store=None, url=None)


DAMAGED = (
    "block_count context_length embedding_length attention.head_count attention.head_count_kv attention.key_length "
    "attention.sliding_window attention.sliding_window_pattern attention.recurrent_layers full_attention_interval "
    "ssm.inner_size feed_forward_length nextn_predict_layers"
)


@given(
    st.dictionaries(
        st.sampled_from(DAMAGED.split()),
        st.one_of(st.integers(-2, 70), st.text(max_size=3), st.lists(st.integers(0, 8), max_size=9), st.none()),
    ),
    st.sampled_from(["llama", "gemma3", "gemma4", "jamba", "qwen35", "nemotron_h", "lfm2", "step35", "exaone4"]),
)
def test_damaged_metadata_is_told(fields: dict[str, Any], architecture: str) -> None:
    """Whatever stands in the metadata, it makes a shape, or an error that says so; nothing else."""
    with contextlib.suppress(ShapeUnknown):
        shape(architecture, **fields)
