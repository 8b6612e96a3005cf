"""What must be true of a stored and of a loaded model."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel
from probe_agent.readiness.conditions import (
    ACCEPTED_FORMATS,
    evicted,
    find_running,
    find_stored,
    judge_running,
    not_given,
)
from probe_agent.readiness.states import Kind, Observation

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)
DIGEST = "9521" + "0" * 60
STORED = StoredModel(
    name="smollm2:latest",
    digest=DIGEST,
    size_bytes=98_362_760,
    format="gguf",
    quantization="Q4_1",
    trained_context=8192,
    capabilities=("completion",),
)
RESIDENT = RunningModel(
    name="smollm2:latest",
    digest=DIGEST,
    memory_bytes=200_000_000,
    vram_bytes=0,
    context_length=4096,
    expires_at=NOW + timedelta(days=292 * 365),
)


def refused(found: object) -> Observation:
    """Return what was found in place of a model, with something to do about it."""
    assert isinstance(found, Observation)
    assert found.reason
    assert found.action
    return found


@pytest.mark.parametrize(("num_ctx", "text"), [(None, "smollm2"), (8192, "smollm2@8192")])
def test_a_pin_reads_as_it_is_configured(num_ctx: int | None, text: str) -> None:
    """A pin prints as the operator writes it."""
    assert str(ModelSpec("smollm2", num_ctx)) == text


@pytest.mark.parametrize(
    ("capabilities", "embeds_only"),
    [
        (None, False),
        ((), False),
        (("completion",), False),
        (("embedding",), True),
        (("completion", "embedding"), False),
        (("vision",), False),
    ],
)
def test_what_can_embed_but_not_generate(capabilities: tuple[str, ...] | None, embeds_only: bool) -> None:
    """A model embeds only when Ollama says that it can embed and not that it can complete."""
    assert replace(STORED, capabilities=capabilities).embeds_only is embeds_only


@pytest.mark.parametrize(
    ("expires_at", "pinned"),
    [
        (None, True),
        (NOW + timedelta(days=292 * 365), True),
        (NOW + timedelta(days=365, seconds=1), True),
        (NOW + timedelta(days=365), False),
        (NOW + timedelta(minutes=5), False),
        (NOW - timedelta(seconds=1), False),
    ],
)
def test_a_pin_shows_in_the_expiry(expires_at: datetime | None, pinned: bool) -> None:
    """Only an expiry beyond any request's keep_alive, or none at all, means kept without end."""
    assert replace(RESIDENT, expires_at=expires_at).pinned(NOW) is pinned


@pytest.mark.parametrize(
    "pin",
    [
        ModelSpec("smollm2"),
        ModelSpec("smollm2", 8192),
        ModelSpec("SmolLM2:latest", 1, DIGEST),
        ModelSpec("smollm2", None, DIGEST[:12]),
    ],
)
def test_a_stored_model_that_fits_is_found(pin: ModelSpec) -> None:
    """A model of the right name, digest, format and context may be loaded."""
    other = replace(STORED, name="other:latest")

    assert find_stored([other, STORED], pin) is STORED


@pytest.mark.parametrize("unknown", [{"trained_context": None}, {"capabilities": None}])
def test_an_old_ollama_that_tells_less_is_no_obstacle(unknown: dict[str, None]) -> None:
    """A store that does not tell the trained context or the capabilities is taken as it is."""
    stored = replace(STORED, **unknown)  # type: ignore[arg-type]  # both fields may be None

    assert find_stored([stored], ModelSpec("smollm2", 1_000_000 if stored.trained_context is None else 1)) is stored


@pytest.mark.parametrize(("stored", "holds"), [([], "none"), ([STORED, replace(STORED, name="b:1")], "b:1")])
def test_an_absent_model_is_told_with_what_is_there(stored: list[StoredModel], holds: str) -> None:
    """An absent model's reason names it and what the store holds instead."""
    found = refused(find_stored(stored, ModelSpec("gemma3:4b")))

    assert found.kind is Kind.MODEL_ABSENT
    assert "gemma3:4b" in found.reason
    assert holds in found.reason


def test_another_digest_is_a_mismatch() -> None:
    """A stored model with another digest than the expected one is refused, and both are named."""
    found = refused(find_stored([STORED], ModelSpec("smollm2", None, "abcdefabcdef")))

    assert found.kind is Kind.DIGEST_MISMATCH
    assert DIGEST[:12] in found.reason
    assert "abcdefabcdef" in found.reason


@pytest.mark.parametrize("kind", sorted(ACCEPTED_FORMATS))
def test_formats_that_load_are_accepted(kind: str) -> None:
    """Every format that Ollama's engines load is accepted."""
    stored = replace(STORED, format=kind)

    assert find_stored([stored], ModelSpec("smollm2")) is stored


@pytest.mark.parametrize(("kind", "said"), [("", "cloud"), ("pickle", "pickle"), ("GGML", "GGML")])
def test_other_formats_are_refused(kind: str, said: str) -> None:
    """A model without an accepted format must not be served from here."""
    found = refused(find_stored([replace(STORED, format=kind)], ModelSpec("smollm2")))

    assert found.kind is Kind.REFUSED_FORMAT
    assert said in found.reason


def test_a_context_beyond_the_trained_one_is_unattainable() -> None:
    """A pinned context longer than the trained one is refused before the load, with the one that works."""
    found = refused(find_stored([STORED], ModelSpec("smollm2", 8193)))

    assert found.kind is Kind.CONTEXT_UNATTAINABLE
    assert "8193" in found.reason
    assert "smollm2@8192" in found.action


def judged(running: RunningModel, spec: ModelSpec, *, gpu: bool = False) -> Observation | None:
    """Compare what is running with what is wanted."""
    return judge_running(running, spec, num_ctx=spec.num_ctx, gpu=gpu)


DIGEST_PIN = ModelSpec("smollm2", None, DIGEST[:12])


@pytest.mark.parametrize("pin", [ModelSpec("smollm2"), ModelSpec("smollm2", 4096), DIGEST_PIN])
def test_a_loaded_model_that_fits_is_as_wanted(pin: ModelSpec) -> None:
    """A model loaded with the pinned context and digest, or with any when none is pinned, is as wanted."""
    assert judged(RESIDENT, pin) is None


def test_an_ollama_that_does_not_tell_the_context_is_believed() -> None:
    """Without a context in `/api/ps` there is no drift to see."""
    assert judged(replace(RESIDENT, context_length=None), ModelSpec("smollm2", 4096)) is None


@pytest.mark.parametrize(("resident", "loaded"), [([], "none"), ([replace(RESIDENT, name="b:1")], "b:1")])
def test_an_unlisted_model_is_evicted(resident: list[RunningModel], loaded: str) -> None:
    """A model that Ollama no longer lists is evicted, and the reason names what is loaded instead."""
    found = evicted(ModelSpec("smollm2"), resident)

    assert found.kind is Kind.MODEL_EVICTED
    assert loaded in found.reason


@pytest.mark.parametrize("observed", [2048, 8192])
def test_another_context_is_drift(observed: int) -> None:
    """A context other than the pinned one, shorter or longer, is drift."""
    found = refused(judged(replace(RESIDENT, context_length=observed), ModelSpec("smollm2", 4096)))

    assert (found.kind, found.model) == (Kind.CONTEXT_DRIFTED, "smollm2")
    assert str(observed) in found.reason
    assert "4096" in found.reason


def test_another_digest_than_the_expected_one_is_not_served() -> None:
    """The digest is held against what is loaded, because a model can be replaced in the store under its name."""
    found = refused(judged(replace(RESIDENT, digest="ff" * 32), ModelSpec("smollm2", None, DIGEST[:12])))

    assert found.kind is Kind.DIGEST_MISMATCH
    assert "ffffffffffff" in found.reason


def test_an_alias_stands_for_the_model_whatever_its_digest() -> None:
    """A runner listed under another tag of the same weights is the model; the tag's digest is its own."""
    twin = replace(RESIDENT, name="twin:latest", digest="ff" * 32)

    assert judged(twin, ModelSpec("smollm2", 4096, DIGEST[:12])) is None


@pytest.mark.parametrize("vram", [0, 199_999_999])
def test_weights_outside_the_gpu_are_a_spill_where_it_is_wanted(vram: int) -> None:
    """With the GPU wanted, one byte outside its memory is a spill; otherwise it is fine."""
    model = replace(RESIDENT, vram_bytes=vram)
    found = refused(judged(model, ModelSpec("smollm2"), gpu=True))

    assert found.kind is Kind.OFFLOADED_TO_CPU
    assert f"{200_000_000 - vram:,} of 200,000,000 bytes" in found.reason
    assert judged(model, ModelSpec("smollm2")) is None


def test_a_model_wholly_in_gpu_memory_is_as_wanted() -> None:
    """With the GPU wanted, a model with all its bytes there is fine."""
    assert judged(replace(RESIDENT, vram_bytes=RESIDENT.memory_bytes), ModelSpec("smollm2"), gpu=True) is None


@pytest.mark.parametrize(
    ("memory", "vram", "device"),
    [(100, 0, "cpu"), (100, 1, "cpu+gpu"), (100, 99, "cpu+gpu"), (100, 100, "gpu"), (100, 120, "gpu"), (0, 0, "cpu")],
)
def test_a_loaded_model_tells_its_device(memory: int, vram: int, device: str) -> None:
    """The device follows from how much of a model's memory lies on the GPU."""
    assert replace(RESIDENT, memory_bytes=memory, vram_bytes=vram).device == device


@pytest.mark.parametrize(
    ("name", "alias", "found"),
    [("SmolLM2", None, True), ("library/smollm2", None, True), ("twin", "smollm2:latest", True), ("twin", None, False)],
)
def test_a_running_model_is_found_by_its_name_or_alias(name: str, alias: str | None, found: bool) -> None:
    """A model is found under any spelling of its name, and under another tag's where they share the weights."""
    other = replace(RESIDENT, name="b:1")

    assert (find_running([other, RESIDENT], ModelSpec(name), alias) is RESIDENT) is found


@pytest.mark.parametrize(("given", "bound"), [(8192, "minimum"), (2048, "maximum")])
def test_a_context_that_the_server_does_not_give_names_one_that_it_gives(given: int, bound: str) -> None:
    """The action says what to pin instead."""
    found = refused(not_given(ModelSpec("smollm2", 4096), 4096, given, None))

    assert found.kind is Kind.CONTEXT_UNATTAINABLE
    assert bound in found.reason
    assert f"smollm2@{given}" in found.action
