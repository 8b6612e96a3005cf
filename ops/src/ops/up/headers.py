"""Header fields on their way through the front: which are dropped, and which the platform adds."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, MutableMapping
from typing import Any

# Fields of one connection, not of the message (RFC 9110, 7.6.1); what Connection names is added.
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer"
    b" transfer-encoding upgrade".split()
)
# Fields of a request that the front writes itself. Host becomes the container's own: bound to loopback, as here, Ollama
# refuses foreign ones; bound to all addresses, as on Cloud Run, it takes any.
OWN = frozenset(
    b"host content-length expect x-forwarded-for x-forwarded-proto traceparent x-cloud-trace-context".split()
)
TRACEPARENT = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")

Fields = list[tuple[bytes, bytes]]


def for_container(scope: MutableMapping[str, Any]) -> Fields:
    """Return a request's fields as the container gets them; names are lower case, as ASGI has them."""
    fields: Fields = scope["headers"]
    client = (scope["client"] or ("unknown",))[0].encode()
    forwarded = [value for name, value in fields if name == b"x-forwarded-for"] + [client]
    return [
        *_end_to_end(fields, dropped=OWN),
        (b"x-forwarded-for", b", ".join(forwarded)),
        (b"x-forwarded-proto", scope["scheme"].encode()),
        *_trace(fields),
    ]


def for_client(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return an answer's fields as the client gets them."""
    return _end_to_end([(name.lower(), value) for name, value in fields], dropped=frozenset())


def _end_to_end(fields: Fields, *, dropped: frozenset[bytes]) -> Fields:
    named = (value.lower().split(b",") for name, value in fields if name == b"connection")
    gone = HOP_BY_HOP | dropped | {item.strip() for items in named for item in items}
    return [(name, value) for name, value in fields if name not in gone]


def _trace(fields: Fields) -> Fields:
    """Return the client's own traceparent, or a new one, and Cloud Trace's older spelling of it."""
    given = next((value for name, value in fields if name == b"traceparent"), b"")
    if not (found := TRACEPARENT.fullmatch(given)):
        given = b"00-%s-%s-00" % (secrets.token_hex(16).encode(), secrets.token_hex(8).encode())
        found = TRACEPARENT.fullmatch(given)
    assert found is not None, "what was just made fits"  # noqa: S101 — for the type checker
    trace, span = found.groups()
    return [(b"traceparent", given), (b"x-cloud-trace-context", b"%s/%d;o=0" % (trace, int(span, 16)))]
