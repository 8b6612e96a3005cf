"""API keys: read from a file, reloaded when it changes, never lost to a bad edit."""

import base64
from pathlib import Path

import pytest

from probe_agent.api_keys import KeysError, read_keys
from probe_agent.gateway.keys import KeyFile, presented
from probe_agent.gateway.refusal import Refusal
from tests.agent.conftest import Clock

ALICE, BOB = "alice-secret-key-1", "bob-secret-key-0001"


def bearer(key: str) -> dict[bytes, bytes]:
    """Return the header field of a key."""
    return {b"authorization": f"Bearer {key}".encode()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice", "line 1: expected NAME KEY"),
        ("# all\nalice short", "line 2: expected NAME KEY, the key with at least 16 characters"),
        ("alice one two", "line 1: expected NAME KEY"),
        (f"alice {ALICE}\nbob {ALICE}", "line 2: the key of bob is also the key of alice"),
        ("# nobody\n\n", "holds no key"),
    ],
)
def test_a_bad_file_says_which_line_and_no_key(text: str, expected: str) -> None:
    """The message helps, and gives nothing away."""
    with pytest.raises(KeysError, match=expected) as raised:
        read_keys(text)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        (bearer("k"), b"k"),
        ({b"authorization": b"bearer  k "}, b"k"),
        ({b"authorization": b"Basic " + base64.b64encode(b"user:k")}, b"k"),
        ({b"authorization": b"Basic ***"}, None),
        ({b"authorization": b"Digest k"}, None),
        ({b"x-api-key": b"k"}, b"k"),
    ],
)
def test_where_a_key_may_stand(headers: dict[bytes, bytes], key: bytes | None) -> None:
    """Bearer, Basic (the password) and x-api-key."""
    assert presented(headers) == key


def test_a_changed_file_is_read_without_a_restart(tmp_path: Path, clock: Clock) -> None:
    """A new key serves within a second, and a removed one serves no more."""
    file = tmp_path / "keys"
    file.write_text(f"alice {ALICE}\n")
    keys = KeyFile(file, clock)
    assert keys.tenant(bearer(ALICE)) == "alice"
    file.write_text(f"bob {BOB} \n")
    clock.now += 0.5
    assert keys.tenant(bearer(ALICE)) == "alice"
    clock.now += 0.6
    assert keys.tenant(bearer(BOB)) == "bob"
    with pytest.raises(Refusal) as refused:
        keys.tenant(bearer(ALICE))
    assert refused.value.status == 401


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("alice"), lambda file: file.chmod(0)])
def test_a_bad_edit_leaves_the_last_good_keys(tmp_path: Path, clock: Clock, damage: object) -> None:
    """A slip locks nobody out; what is wrong can be read in `error`, until the file is good again."""
    file = tmp_path / "keys"
    file.write_text(f"alice {ALICE}\n")
    keys = KeyFile(file, clock)
    keys.refresh()
    assert callable(damage)
    damage(file)
    clock.now += 2
    assert keys.tenant(bearer(ALICE)) == "alice"
    file.unlink(missing_ok=True)
    file.write_text(f"alice {ALICE}\nbob {BOB}\n")
    clock.now += 2
    assert keys.tenant(bearer(BOB)) == "bob"
    assert keys.error is None


def test_a_file_that_was_never_good_is_an_error(tmp_path: Path, clock: Clock) -> None:
    """The start can say so."""
    keys = KeyFile(tmp_path / "none", clock)
    with pytest.raises(OSError, match="none"):
        keys.refresh()
    assert keys.error is not None
