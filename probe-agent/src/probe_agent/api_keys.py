"""The file of API keys: one `NAME KEY` a line. Keys are never kept as text. Pure."""

import hashlib

SHORTEST_KEY = 16


class KeysError(ValueError):
    """The file of keys cannot be used: says which line, and what is expected."""


def read_keys(text: str) -> dict[bytes, str]:
    """Read `NAME KEY` lines, `#` comments allowed; return the names by the SHA-256 of their keys."""
    found: dict[bytes, str] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or len(words[1]) < SHORTEST_KEY:  # noqa: PLR2004 — a name and a key
            raise KeysError(f"line {number}: expected NAME KEY, the key with at least {SHORTEST_KEY} characters")
        digest = hashlib.sha256(words[1].encode()).digest()
        if digest in found:
            raise KeysError(f"line {number}: the key of {words[0]} is also the key of {found[digest]}")
        found[digest] = words[0]
    if not found:
        raise KeysError("holds no key; expected lines NAME KEY")
    return found
