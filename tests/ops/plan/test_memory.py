"""The memory that `ops plan` predicts, held against what a real llama-server reported (benchmarks/plan.py)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab import attention_ggufs
from lab.measuring.llama_server import COLUMNS, MOST_DEVIATION, Cache, Reported, is_equal, parse
from ops import smollm2
from ops.gguf_file import Tensor
from ops.plan.asked import Asked
from ops.plan.fits import fit_of, largest_context, memory_of
from ops.plan.gguf_facts import ModelShape, model_shape
from ops.plan.gpus import DEVICES, usable
from ops.plan.layers import Layer
from ops.plan.memory import GIB, MIB, Load, Unplannable, batch, memory, row_bytes
from ops.plan.sources import from_gguf

RESULT = max((Path(__file__).parents[3] / "benchmarks" / "results").glob("*-plan.json"))
MEASURED: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))["measured"]
SHAPES = {
    each["name"]: ModelShape(**{**each, "layers": tuple(Layer(**layer) for layer in each["layers"])})
    for each in MEASURED["shapes"]
}
SAMPLES = [dict(zip(COLUMNS.split(), row.split(), strict=True)) for row in MEASURED["samples"]]
SMALL = ModelShape(
    name="small",
    architecture="llama",
    quantization="Q4_0",
    trained_context=8192,
    layers=(Layer(256, 256),) * 4 + (Layer(256, 128, is_window=True),) * 4,
    window=1024,
    heads=8,
    embedding_width=1024,
    working_width=8192,
    vocabulary=32000,
    weight_bytes=100 * MIB,
    host_bytes=10 * MIB,
    duplicated_bytes=10 * MIB,
    projector_bytes=0,
    guessed_width=2048,
    has_one_slot=False,
)


@pytest.mark.parametrize("name", SHAPES)
def test_predictions_hold_against_what_was_reported(name: str) -> None:
    """Over contexts, slots and KV types: caches equal to the logged ones, the total within a tenth."""
    shape = replace(SHAPES[name], has_one_slot=False)
    rows = [row for row in SAMPLES if row["model"] == name]
    assert len(rows) == 27
    for row in rows:
        load = Load(int(row["context"]), int(row["parallel"]), row["kv_type"], int(row["batch"]))
        planned = memory(shape, load)
        assert is_equal(planned.kv_cache, float(row["cache_mib"]), int(row["caches"])), row
        reported = sum(float(row[part]) for part in ("model_mib", "cache_mib", "compute_mib", "output_mib"))
        assert abs(planned.total / MIB / reported - 1) <= MOST_DEVIATION, row


@pytest.mark.parametrize("name", SHAPES)
def test_the_recorded_batches_are_those_of_ollama(name: str) -> None:
    """The batch that each start was given is the one that the plan gives it."""
    for row in (row for row in SAMPLES if row["model"] == name):
        assert batch(SHAPES[name], int(row["context"]) * int(row["parallel"])) == int(row["batch"])


@pytest.mark.parametrize("name", [name for name in SHAPES if name in attention_ggufs.KINDS])
def test_the_recorded_shapes_are_the_files(name: str, tmp_path: Path) -> None:
    """What was measured is what the files still are: the recorded shape is the one read today."""
    assert replace(from_gguf(attention_ggufs.write(tmp_path, name)), name=name) == SHAPES[name]


def test_the_recorded_shape_of_the_small_model_is_its_file() -> None:
    """The same for the real model that every machine has."""
    assert replace(from_gguf(smollm2.gguf_path()), name="smollm2") == SHAPES["smollm2"]


def test_a_real_ollama_took_the_planned_flags() -> None:
    """What Ollama told llama-server, and the caches that it got, are recorded as planned for both real models."""
    served = MEASURED["ollama"]
    assert {each["model"] for each in served} == {"smollm2", "gemma3_270m"}
    assert all(each["flags_as_planned"] and each["cache_as_planned"] for each in served)


def test_a_small_olmo3_takes_what_a_real_ollama_reported(tmp_path: Path) -> None:
    """Ollama 0.32.15 loads this file with 50 MiB of keys and values; as full attention it would be 128 MiB (F2)."""
    assert memory(from_gguf(attention_ggufs.write(tmp_path, "olmo3")), Load(8192, 1)).kv_cache == 50 * MIB


def test_gpt_oss_fits_an_l4_under_ollamas_name() -> None:
    """The published gpt-oss 20B, 4 slots of 65536 tokens at f16: 6216 MiB of KV cache, and the L4 has room (F2)."""
    fields: dict[str, Any] = {"block_count": 24, "context_length": 131072, "embedding_length": 2880}
    fields |= {"attention.head_count": 64, "attention.head_count_kv": 8, "attention.sliding_window": 128}
    fields |= {"attention.key_length": 64, "attention.value_length": 64, "feed_forward_length": 2880}
    fields |= {"expert_count": 32, "expert_used_count": 4}
    named = {"general.architecture": "gptoss", **{f"gptoss.{name}": value for name, value in fields.items()}}
    weights = Tensor("blk.0.ffn_gate_exps.weight", 10906 * MIB, (2880, 2880, 32))
    l4 = DEVICES["nvidia-l4"]
    own = memory(model_shape(named, [weights], "gpt-oss"), Load(65536, 4), l4.memory_bytes or 0, on_gpu=True)
    assert own.kv_cache == 6216 * MIB
    assert own.total <= usable(l4, 1, 32 * GIB, 0)


def test_windows_are_kept_for_a_batch_more() -> None:
    """A layer with a window keeps the window and one batch, rounded up to 256 tokens, and never more than the rest."""
    own = memory(SMALL, Load(8192, 1, "f16", batch=100))
    full, window = 4 * 512 * 8192 * 2, 4 * 384 * 1280 * 2  # 1024 + 100 tokens are rounded up to 1280
    assert own.kv_cache == full + window
    short = memory(SMALL, Load(512, 1, "f16", batch=512))
    assert short.kv_cache == 4 * (512 + 384) * 512 * 2


def test_full_windows_cost_as_much_as_the_rest() -> None:
    """With LLAMA_ARG_SWA_FULL every layer keeps the whole context."""
    assert memory(SMALL, Load(8192, has_full_windows=True)).kv_cache == 4 * (512 + 384) * 8192 * 2


def test_contexts_are_rounded_up_and_capped() -> None:
    """1000 tokens become 1024; more than the model was trained for is not given."""
    assert memory(SMALL, Load(1000, 3)).context == 1024
    assert memory(SMALL, Load(10**6)).context == 8192


def test_without_flash_attention_values_are_as_wide_as_the_widest() -> None:
    """Values lie transposed then, padded to one width; the scores of all heads are in memory too."""
    without = memory(SMALL, Load(8192, has_flash_attention=False, has_full_windows=True))
    assert without.kv_cache == 8 * 512 * 8192 * 2
    assert without.compute > 6 * memory(SMALL, Load(8192)).compute


@pytest.mark.parametrize("kv_type", ["q8_0", "q4_0"])
def test_a_quantised_cache_needs_flash_attention(kv_type: str) -> None:
    """Without it llama.cpp refuses to start: the plan refuses before, and names the variable."""
    with pytest.raises(Unplannable, match="OLLAMA_FLASH_ATTENTION"):
        memory(SMALL, Load(8192, kv_type=kv_type, has_flash_attention=False))


def test_blocks_must_divide_the_heads() -> None:
    """A quantised row is made of blocks of 32 numbers: 34 bytes each at 8 bits, 18 at 4."""
    assert (row_bytes(64, "f16"), row_bytes(64, "q8_0"), row_bytes(64, "q4_0")) == (128, 68, 36)
    with pytest.raises(Unplannable, match="use f16"):
        row_bytes(40, "q8_0")


def test_one_slot_is_planned_where_ollama_gives_one() -> None:
    """Whatever was asked for, the memory is that of the one slot."""
    single = replace(SMALL, has_one_slot=True)
    assert memory(single, Load(8192, 4)) == memory(single, Load(8192, 1))


def test_a_table_on_the_gpu_and_one_beside_it() -> None:
    """On a GPU the input's table stays with the host, and is on the GPU as the output's."""
    own = memory(SMALL, Load(8192), on_gpu=True)
    assert (own.weights, own.host) == (100 * MIB, 10 * MIB)


def test_ollama_takes_a_larger_batch_where_there_is_room() -> None:
    """512 up to 4096 tokens in all, then 1024, above 32768 2048; less where its rough guess leaves too little."""
    assert [batch(SMALL, total) for total in (4096, 4097, 32768, 32769)] == [512, 1024, 1024, 2048]
    assert batch(SMALL, 65536, 24 * GIB) == 2048
    assert batch(SMALL, 65536, 2 * GIB) == 1024
    assert batch(SMALL, 65536, GIB) == 512


@given(st.integers(1, 9000), st.integers(1, 64), st.sampled_from(["f16", "q8_0", "q4_0"]))
def test_more_is_never_less(context: int, parallel: int, kv_type: str) -> None:
    """One more slot, or a longer context, never takes less memory: what the search for the largest rests on."""
    own = memory(SMALL, Load(context, parallel, kv_type)).total
    assert memory(SMALL, Load(context, parallel + 1, kv_type)).total >= own
    assert memory(SMALL, Load(context + 1, parallel, kv_type)).total >= own


@given(
    st.integers(1, 200_000),
    st.integers(1, 16),
    st.integers(1, 400).map(lambda count: count * 50 * MIB),
    st.integers(1, 400).map(lambda count: count * 50 * MIB),
)
@example(40_000, 8, 333 * MIB, 10_200 * MIB)
@settings(max_examples=60, deadline=None)
def test_the_largest_context_is_found_by_halves(trained: int, slots: int, room: int, device: int) -> None:
    """Bisection finds what trying every context from above finds, whatever batch Ollama chooses on the way."""
    shape = replace(SMALL, trained_context=trained)
    asked = Asked(
        shape, replace(DEVICES["nvidia-l4"], memory_bytes=device), Load(8192, slots), 1, 8, 32, 32, 2048, False
    )
    found = fit_of(asked, "f16", room).largest_context
    contexts = (min(step * 256, trained) for step in range(-(-trained // 256), 0, -1))
    fitting = (each for each in contexts if memory_of(asked, Load(each, slots)).total <= room)
    assert found == next(fitting, None)


def test_ten_million_tokens_are_few_steps() -> None:
    """The largest context of a model trained for ten million tokens is found by some dozen sums, not forty thousand."""
    shape = replace(SMALL, trained_context=10_000_000)
    asked = Asked(shape, DEVICES["nvidia-l4"], Load(8192, 4), 1, 8, 32, 32, 2048, False)
    counted: list[int] = []

    def fits(load: Load) -> bool:
        counted.append(load.context)
        return load.context <= 300_000

    assert largest_context(asked, asked.load, fits) == 300_000 // 256 * 256
    assert len(counted) < 60


def test_what_may_be_used() -> None:
    """A gibibyte stays free; each runner takes its own on a GPU, and its prompt cache where there is none."""
    assert usable(DEVICES["nvidia-l4"], 1, 24 * GIB, 2 * GIB) == int(21.5 * GIB) - 457 * MIB
    assert usable(DEVICES["nvidia-l4"], 3, 24 * GIB, 2 * GIB) == int(21.5 * GIB) - 3 * 457 * MIB
    assert usable(DEVICES["cpu"], 3, 24 * GIB, 2 * GIB) == 17 * GIB


def test_a_projector_is_counted_beside_the_same_gibibyte() -> None:
    """Ollama asks for a projector's weights and 1 GiB: the weights are in the total, the other is kept free."""
    with_one = memory(replace(SMALL, projector_bytes=800 * MIB), Load(8192))
    assert with_one.total == memory(SMALL, Load(8192)).total + 800 * MIB


def test_the_log_is_read() -> None:
    """Both caches of a model with windows, the weights in both their forms, and nothing of the fitter's lines."""
    log = """
common_memory_breakdown_print: |   - CPU_REPACK         |                   12 =    12 +       0 +       0                |
load_tensors:          CPU model buffer size =   222.51 MiB
load_tensors:   CPU_REPACK model buffer size =    12.66 MiB
llama_context:        CPU  output buffer size =     2.00 MiB
llama_kv_cache:        CPU KV buffer size =    24.00 MiB
llama_kv_cache: size =   24.00 MiB (  4096 cells,   3 layers,  2/2 seqs), K (f16):   12.00 MiB, V (f16):   12.00 MiB
llama_memory_recurrent: size =    0.89 MiB (     2 cells,   6 layers,  2 seqs  0 rs_seq), R (f32):    0.14 MiB, S (f32):    0.75 MiB
sched_reserve:        CPU compute buffer size =    46.54 MiB
"""  # noqa: E501 — as it is logged
    caches = (Cache("kv_cache", 4096, 3, 24.0, 12.0, 12.0), Cache("memory_recurrent", 2, 6, 0.89, 0.14, 0.75))
    found = parse(log.splitlines())
    assert found == Reported(pytest.approx(235.17), 2.0, 46.54, caches)  # type: ignore[arg-type]
    assert found.total_mib == pytest.approx(235.17 + 2 + 46.54 + 24.89)
