"""Ollama's wire forms: durations, names, bodies, and who may ask."""

from __future__ import annotations

import math

import pytest

from ops.standin import ApiError, origins, wire


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300.0), ("1h30m", 5400.0), ("300ms", 0.3), ("-1m", -60.0), ("1.5s", 1.5), ("0", 0.0), ("+2s", 2.0)],
)
def test_durations(text: str, seconds: float) -> None:
    """A Go duration is read in seconds."""
    assert wire.duration_seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-1", 'time: missing unit in duration "-1"'),
        ("12", 'time: missing unit in duration "12"'),
        ("abc", 'time: invalid duration "abc"'),
        ("", 'time: invalid duration ""'),
    ],
)
def test_bad_durations(text: str, message: str) -> None:
    """What Go would not read is refused in its words."""
    with pytest.raises(ApiError, match="time:") as caught:
        wire.duration_seconds(text)
    assert (caught.value.status, caught.value.message) == (400, message)


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), (-1, math.inf), ("-1m", math.inf), (0, 0.0), (5, 5.0), ("5m", 300.0)]
)
def test_keep_alive(value: object, seconds: float | None) -> None:
    """keep_alive is a number of seconds or a duration; negative is for ever."""
    assert wire.keep_alive_seconds(value) == seconds


def test_keep_alive_of_another_type() -> None:
    """keep_alive of another type is a 400."""
    with pytest.raises(ApiError, match="Unsupported type") as caught:
        wire.keep_alive_seconds([1])
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("name", "full"), [("m", "m:latest"), ("m:4b", "m:4b"), ("host:5000/a/m", "host:5000/a/m:latest")]
)
def test_names(name: str, full: str) -> None:
    """A name without a tag means the latest one."""
    assert wire.full_name(name) == full


@pytest.mark.parametrize("name", ["", "!!", "a/b/c/d/e:::", "m:"])
def test_bad_names(name: str) -> None:
    """A name that Ollama would not accept is a 400."""
    with pytest.raises(ApiError, match="invalid model name"):
        wire.full_name(name)


@pytest.mark.parametrize(("body", "message"), [(b"", "empty"), (b"{", "unexpected EOF"), (b"[]", "array")])
def test_bad_bodies(body: bytes, message: str) -> None:
    """A body that is no JSON object is a 400."""
    with pytest.raises(ApiError, match=message):
        wire.json_object(body, empty="empty")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"host": "127.0.0.1:11434"}, True),
        ({"host": "localhost"}, True),
        ({"host": "[::1]:11434"}, True),
        ({"host": "ollama.internal"}, True),
        ({"host": "evil.example"}, False),
        ({"host": "8.8.8.8"}, False),
        ({"host": "localhost", "origin": "http://127.0.0.1:3000"}, True),
        ({"host": "localhost", "origin": "app://desktop"}, True),
        ({"host": "localhost", "origin": "https://evil.example"}, False),
        ({"host": "localhost", "origin": "gopher://localhost"}, False),
    ],
)
def test_origins(headers: dict[str, str], *, allowed: bool) -> None:
    """On a loopback bind only local hosts and origins are answered."""
    assert origins.allowed(headers) is allowed


def test_json_as_go_writes_it() -> None:
    """No spaces, no letters escaped but those that HTML and JavaScript take ill, and a line's end."""
    assert wire.go_json({"stop": ["<|im_end|>", "é&\u2028"]}) == (
        b'{"stop":["\\u003c|im_end|\\u003e","\xc3\xa9\\u0026\\u2028"]}\n'
    )
