"""A request that the gateway answers itself: one type for every reason, rendered in the client's own protocol. Pure."""

import json
from enum import StrEnum
from http import HTTPStatus
from typing import Any


class Protocol(StrEnum):
    """Whose error format a client understands."""

    OLLAMA = "ollama"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"


class Refusal(Exception):
    """The gateway refuses a request.

    `kind` labels the metric (snake case, few values); `status` is the HTTP status; `reason` says who refuses what and
    why; `action` what the client can do. `retry_after` is whole seconds, or None where trying again does not help.
    """

    def __init__(self, status: int, kind: str, reason: str, action: str, *, retry_after: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.kind = kind
        self.reason = reason
        self.action = action
        self.retry_after = retry_after

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields of the answer, without its length."""
        fields = [(b"content-type", b"application/json"), (b"x-probe-agent-refused", self.kind.encode())]
        if self.retry_after is not None:
            fields.append((b"retry-after", str(self.retry_after).encode()))
        if self.status == HTTPStatus.UNAUTHORIZED:
            fields.append((b"www-authenticate", b'Bearer realm="ollama", Basic realm="ollama"'))
        return fields

    def body(self, protocol: Protocol) -> bytes:
        """Return the answer's body, one line of JSON."""
        return json.dumps(error_object(protocol, self.status, f"{self.reason}. {self.action}", self.kind)).encode()


def error_object(protocol: Protocol, status: int, message: str, code: str) -> dict[str, Any]:
    """Return an error as a client of this protocol expects it."""
    match protocol:
        case Protocol.OPENAI:
            kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
            return {"error": {"message": message, "type": kind, "param": None, "code": code}}
        case Protocol.ANTHROPIC:
            return {"type": "error", "error": {"type": _anthropic_type(status), "message": message}}
        case _:
            return {"error": message}


def _anthropic_type(status: int) -> str:
    """Return the error type of the Messages API for a status."""
    known = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 413: "request_too_large"}
    known |= {429: "rate_limit_error", 503: "overloaded_error", 529: "overloaded_error"}
    return known.get(status, "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error")
