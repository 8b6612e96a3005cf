"""Logs: structured for Cloud Logging on Cloud Run, readable lines elsewhere.

Importing `google-cloud-logging` takes about half a second, so lines are kept until it is there, and it is
fetched only after the first probe is answered, or a few seconds without one.
"""

import contextlib
import json
import logging
import logging.handlers
import re
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from probe_agent.late_import import import_grpc

log = logging.getLogger(__name__)

# A line waits this long, in seconds, for the structured handler when nobody probes.
PATIENCE_SECONDS = 5.0
# Lines kept meanwhile; a start writes about ten.
KEPT_LINES = 10_000
# https://cloud.google.com/trace/docs/trace-context: TRACE_ID/SPAN_ID;o=OPTIONS, and the W3C's traceparent.
CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")

_first_probe_answered = threading.Event()


class DeferredHandler(logging.handlers.MemoryHandler):
    """Keeps every line until its target is there, then passes them on; at exit nothing is lost."""

    def __init__(self, fallback: logging.Handler) -> None:
        super().__init__(KEPT_LINES, flushLevel=logging.CRITICAL + 1)
        self.fallback = fallback

    def shouldFlush(self, record: logging.LogRecord) -> bool:  # noqa: N802 — the standard library's name
        """Pass on at once as soon as there is a target."""
        return self.target is not None or super().shouldFlush(record)

    def use(self, target: logging.Handler) -> None:
        """Pass on to `target` what was kept, and everything from now on."""
        with self.lock or contextlib.nullcontext():
            kept, self.buffer = self.buffer, []
            self.setTarget(target)
            for record in kept:
                target.handle(record)

    def close(self) -> None:
        """Write with the fallback what no target came for."""
        if self.target is None:
            self.setTarget(self.fallback)
        super().close()


class JsonFormatter(logging.Formatter):
    """The least that Cloud Logging understands, for lines that the structured handler comes too late for."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat()
        return json.dumps({"severity": record.levelname, "time": time, "message": super().format(record)})


def configure(level: str, environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Set up the root logger; `K_SERVICE` in the environment means Cloud Run."""
    handler: logging.Handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    if "K_SERVICE" in environ:
        handler.setFormatter(JsonFormatter())
        handler = DeferredHandler(fallback=handler)
        wanted = (handler, stream or sys.stdout, dict(environ))
        threading.Thread(target=_bring_structured, args=wanted, name="cloud-logging", daemon=True).start()
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("httpx", "httpcore", "uvicorn", "asyncio", "google"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _bring_structured(deferred: DeferredHandler, stream: TextIO, environ: Mapping[str, str]) -> None:
    _first_probe_answered.wait(PATIENCE_SECONDS)
    try:
        import_grpc()
        from probe_agent.cloud_logging import structured_handler  # noqa: PLC0415 — slow, see the module's text

        handler = structured_handler(stream, environ)
    except Exception:
        deferred.use(deferred.fallback)
        log.exception("google-cloud-logging cannot be used; lines lack labels and traces")
    else:
        deferred.use(handler)


async def probe_answered(path: str, code: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
    """Log one probe's answer, after it was sent, at debug level and with the trace of its request."""
    _first_probe_answered.set()
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s answered %s: %s", path, code, body["state"], extra=trace_of(headers))


def trace_of(headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the log record's trace fields from a request's `traceparent` or `X-Cloud-Trace-Context`, if any."""
    if match := TRACEPARENT.fullmatch(headers.get("traceparent", "")):
        trace, span, sampled = match[1], match[2], bool(int(match[3], 16) & 1)
    elif match := CLOUD_TRACE.fullmatch(headers.get("x-cloud-trace-context", "")):
        trace, sampled = match[1], match[3] == "1"
        span = f"{int(match[2]):016x}" if match[2] else ""
    else:
        return {}
    return {"trace": trace, "span_id": span, "trace_sampled": sampled}
