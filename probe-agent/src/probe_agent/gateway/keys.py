"""API keys: several, named, from a file that is read again when it changes. Keys are never kept or logged as text."""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from probe_agent.api_keys import read_keys
from probe_agent.gateway.refusal import Refusal

# The tenant of requests to a gateway without keys.
ANYONE = "anyone"
# The file is looked at this often at most, in seconds: a new key is taken soon, and a flood of requests costs nothing.
LOOK_SECONDS = 1.0


def presented(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key of a request: `Authorization: Bearer` or Basic (the password), else `x-api-key`; None: none."""
    scheme, _, value = headers.get(b"authorization", b"").strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
        except binascii.Error:
            return None
    return headers.get(b"x-api-key")


@dataclass(slots=True)
class KeyFile:
    """The keys of one file. A file that becomes unreadable or wrong leaves the last good keys in force.

    `clock` is monotonic, in seconds. `error` says why the newest content is not used, or None.
    """

    path: Path
    clock: Callable[[], float]
    error: str | None = None
    _names: dict[bytes, str] = field(default_factory=dict)
    _looked: float = float("-inf")
    _stamp: tuple[int, int, int] | None = None

    def tenant(self, headers: Mapping[bytes, bytes]) -> str:
        """Return the name of the request's key; raises `Refusal` (401)."""
        self.refresh()
        key = presented(headers)
        if key is not None:
            digest = hashlib.sha256(key).digest()
            # Every key is compared, so that the time taken tells nothing of which one is near.
            names = [name for known, name in self._names.items() if hmac.compare_digest(known, digest)]
            if names:
                return names[0]
        what = "no API key" if key is None else "an unknown API key"
        raise Refusal(401, "key", f"the request has {what}", "Send Authorization: Bearer KEY, or x-api-key: KEY")

    def refresh(self) -> None:
        """Read the file again if it has changed; raises `KeysError` or OSError only while there are no keys at all."""
        now = self.clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            status = os.stat(self.path)  # noqa: PTH116 — its fields are all that is needed
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._names = read_keys(self.path.read_text(encoding="utf-8"))
                self._stamp, self.error = stamp, None
        except (OSError, ValueError) as error:
            self.error = f"{self.path}: {error}"
            if not self._names:
                raise
