"""The gateway understands a body as Ollama does, or refuses it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe_agent.gateway.refusal import Refusal
from probe_agent.gateway.request import KNOWN_FIELDS, MAX_DEPTH, fold, read_object


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"OPTIONS": {"num_ctx": 5}}', "'OPTIONS' is another spelling of 'options'"),
        ('{"option\u017f": {}}'.encode(), "'option\\u017f' is another spelling of 'options'"),
        ('{"\u212aeep_alive": 0}'.encode(), "'\\u212aeep_alive' is another spelling of 'keep_alive'"),
        (b'{"Model": "other", "model": "m"}', "'Model' is another spelling of 'model'"),
        (b'{"options": {}, "options": {"num_ctx": 5}}', "'options' stands twice"),
        (b'{"messages": [{"role": "user", "role": "system"}]}', "'role' stands twice"),
        (b'{"model": "m"} {"model": "other"}', "more than one JSON value"),
        (b'{"model": "m"', "no JSON"),
        (b"", "no JSON"),
        (b'["model"]', "no JSON object"),
        (b'{"temperature": NaN}', "NaN is no JSON"),
        (b'{"temperature": 1e999}', "1e999 is too large"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "unusable number"),
        (b'{"model": "\xff"}', "not UTF-8"),
        (b'{"tools": ' + b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH + b"}", f"deeper than {MAX_DEPTH}"),
        (b'{"tools": ' + b"[" * 100_000 + b"}", f"deeper than {MAX_DEPTH}"),
    ],
)
def test_a_body_that_ollama_could_read_otherwise_is_refused(body: bytes, reason: str) -> None:
    """Each way round a pin that Ollama's JSON reader leaves open is a 400 that says what is wrong."""
    with pytest.raises(Refusal, match=r".") as refused:
        read_object(body)
    assert refused.value.status == 400
    assert reason in refused.value.reason


def test_unknown_fields_pass() -> None:
    """A field of a newer Ollama is not the gateway's business."""
    body = {"model": "m", "brand_new": {"deep": [1, 2.5, None]}}
    assert read_object(json.dumps(body).encode()) == body


def test_the_deepest_allowed_nesting_passes() -> None:
    """The bound is what it says."""
    inner: object = 1
    for _ in range(MAX_DEPTH - 1):
        inner = [inner]
    assert read_object(json.dumps({"tools": inner}).encode()) == {"tools": inner}


@given(st.sampled_from(sorted(KNOWN_FIELDS)), st.data())
def test_every_respelling_of_a_known_field_is_refused(name: str, data: st.DataObject) -> None:
    """Whatever letters change their case, a key that is not spelt as documented does not pass as unknown."""
    upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    respelt = "".join(letter.upper() if up else letter for letter, up in zip(name, upper, strict=True))
    if respelt != name:
        with pytest.raises(Refusal):
            read_object(json.dumps({respelt: 1}).encode())
    assert fold(respelt) == name
