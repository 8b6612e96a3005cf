"""What a client may not change: the model, the context, whatever restarts a runner, and keep_alive."""

from dataclasses import replace
from typing import Any

import pytest

from probe_agent.gateway.pinning import RUNNER_OPTIONS, Pins, apply
from probe_agent.gateway.refusal import Refusal
from probe_agent.ollama.names import canonical_name
from probe_agent.ollama.types import ModelSpec
from probe_agent.variables import PinMode

OWL, PLAIN = ModelSpec("owl", 4096), ModelSpec("plain:7b")
PINS = Pins(
    models={canonical_name(spec.name): spec for spec in (OWL, PLAIN)},
    aliases={canonical_name("gpt-4o-mini"): canonical_name("owl")},
)


def asked(**fields: Any) -> dict[str, Any]:
    """Return a request for the pinned model."""
    return {"model": "owl", **fields}


@pytest.mark.parametrize("name", ["owl", "OWL", "owl:latest", "library/owl", "registry.ollama.ai/library/owl:latest"])
def test_every_spelling_of_a_served_model_passes_unchanged(name: str) -> None:
    """Names are compared in their canonical form, and sent on as the client wrote them."""
    pinned = apply({"model": name}, PINS)
    assert pinned.spec == OWL
    assert pinned.fields == {"model": name}
    assert not pinned.changed


def test_an_alias_becomes_the_served_model() -> None:
    """A client with a fixed name is served by ours."""
    pinned = apply({"model": "gpt-4o-mini"}, PINS)
    assert pinned.fields == {"model": "owl"}
    assert pinned.changed == ["model=owl"]


def test_the_older_name_field_of_show_is_held_too() -> None:
    """/api/show takes `name` for `model`."""
    assert apply({"name": "owl"}, PINS).spec == OWL
    with pytest.raises(Refusal):
        apply({"name": "other"}, PINS)


@pytest.mark.parametrize(
    ("fields", "status"), [({}, 400), ({"model": ""}, 400), ({"model": 5}, 400), ({"model": "other"}, 404)]
)
def test_a_model_that_is_not_served_is_refused(fields: dict[str, Any], status: int) -> None:
    """The refusal names what is served."""
    with pytest.raises(Refusal) as refused:
        apply(fields, PINS)
    assert refused.value.status == status
    assert "owl" in refused.value.action


@pytest.mark.parametrize("asked_ctx", [128, 4095, 4095.0, 0, -1])
def test_a_smaller_context_is_stripped(asked_ctx: float) -> None:
    """Nothing is lost by the larger context that is loaded."""
    pinned = apply(asked(options={"num_ctx": asked_ctx, "temperature": 0}), PINS)
    assert pinned.fields["options"] == {"temperature": 0}
    assert pinned.changed == ["num_ctx=4096"]


@pytest.mark.parametrize("asked_ctx", [4097, 1e9, 131072])
def test_a_larger_context_is_refused_with_both_numbers(asked_ctx: float) -> None:
    """The client would not get what it asks for, so it is told."""
    with pytest.raises(Refusal) as refused:
        apply(asked(options={"num_ctx": asked_ctx}), PINS)
    assert refused.value.status == 400
    assert "4096" in refused.value.reason
    assert str(asked_ctx) in refused.value.reason


@pytest.mark.parametrize("same", [4096, 4096.0])
def test_the_pinned_context_itself_passes(same: float) -> None:
    """What agrees is left as it is."""
    fields = asked(options={"num_ctx": same})
    pinned = apply(fields, PINS)
    assert pinned.fields == fields
    assert not pinned.changed


@pytest.mark.parametrize("wrong", ["4096", None, [5], True])
def test_a_context_of_another_type_never_reaches_ollama_as_a_context(wrong: object) -> None:
    """Whatever is no number is stripped, or left for Ollama to ignore (null)."""
    options = apply(asked(options={"num_ctx": wrong}), PINS).fields["options"]
    assert options.get("num_ctx") is None


def test_a_model_without_a_pinned_context_takes_any() -> None:
    """What the operator did not pin is not the gateway's business."""
    fields = {"model": "plain:7b", "options": {"num_ctx": 99}}
    assert apply(fields, PINS).fields == fields


@pytest.mark.parametrize("name", [name for name in RUNNER_OPTIONS if name != "num_ctx"])
def test_options_that_restart_a_runner_are_removed(name: str) -> None:
    """Each of them would cost every client a reload."""
    pinned = apply(asked(options={name: 1, "seed": 7}), PINS)
    assert pinned.fields["options"] == {"seed": 7}
    assert pinned.changed == [f"{name} removed"]


@pytest.mark.parametrize("field", ["keep_alive", "shift"])
@pytest.mark.parametrize("value", [0, "5s", -1, None, False])
def test_keep_alive_and_shift_are_removed(field: str, value: object) -> None:
    """The operator's keep_alive stays, and so does how the runner was started."""
    pinned = apply(asked(**{field: value}), PINS)
    assert field not in pinned.fields
    assert pinned.changed == [f"{field} removed"]


@pytest.mark.parametrize("fields", [{"keep_alive": 0}, {"options": {"num_ctx": 128}}, {"options": {"num_gpu": 0}}])
def test_a_pin_can_reject_instead(fields: dict[str, Any]) -> None:
    """With `reject` the client is told which field, which value and which pin."""
    strict = replace(PINS, num_ctx=PinMode.REJECT, runner_options=PinMode.REJECT, keep_alive=PinMode.REJECT)
    with pytest.raises(Refusal) as refused:
        apply(asked(**fields), strict)
    assert refused.value.status == 400


def test_a_pin_can_only_observe() -> None:
    """With `observe` the request passes unchanged, and what differs is noted."""
    lenient = replace(PINS, num_ctx=PinMode.OBSERVE, runner_options=PinMode.OBSERVE, keep_alive=PinMode.OBSERVE)
    fields = asked(keep_alive=0, options={"num_ctx": 128, "num_thread": 1})
    pinned = apply(fields, lenient)
    assert pinned.fields == fields
    assert not pinned.changed
    assert pinned.observed == ["keep_alive", "num_ctx", "num_thread"]


def test_options_of_another_type_are_left_to_ollama() -> None:
    """Ollama answers 400 to them itself."""
    assert apply(asked(options="none"), PINS).fields == asked(options="none")


def test_the_clients_own_fields_are_not_changed_in_place() -> None:
    """What was read stays as it was read."""
    fields = asked(options={"num_ctx": 128})
    apply(fields, PINS)
    assert fields == asked(options={"num_ctx": 128})
