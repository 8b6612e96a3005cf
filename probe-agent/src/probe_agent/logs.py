"""Logs: structured lines for Cloud Logging on Cloud Run, readable lines elsewhere.

A thread writes them, so that a full pipe or a slow network never holds up a probe or a signal.
"""

import copy
import http.client
import json
import logging
import logging.handlers
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from probe_agent.text import printable

log = logging.getLogger(__name__)

# Lines that may wait for their writer, about a megabyte; a start writes about ten. More are dropped and counted.
MOST_WAITING = 2_000
# At exit the lines that wait get this long, in seconds: the platform kills ten seconds after SIGTERM.
CLOSE_SECONDS = 1.0
# The library that sends lines takes half a second of CPU and 35 MiB (measured): not before the first probes.
IMPORT_AFTER_SECONDS = 5.0
# The metadata server is in the instance: one that does not answer in a second is not there.
METADATA_SECONDS = 1.0
STDOUT = 1
# https://cloud.google.com/trace/docs/trace-context: TRACE_ID/SPAN_ID;o=OPTIONS, and the W3C's traceparent.
CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(?:/([0-9]{1,20}))?(?:;o=([01]))?")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


class BackgroundHandler(logging.handlers.QueueHandler):
    """Passes each line to `target` in a thread of its own; drops and counts lines while too many wait.

    `target` is called once, in that thread: it may take its time to import what it needs.
    """

    def __init__(self, target: Callable[[], logging.Handler]) -> None:
        self._waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(MOST_WAITING)
        super().__init__(self._waiting)
        self._dropped = 0  # counted where lines are logged; the next two in the thread alone
        self._failed = self._reported = 0
        self._thread = threading.Thread(target=self._run, args=(target,), name="log-writer", daemon=True)
        self._thread.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy whose message and traceback are text: what they were made from may change."""
        record = copy.copy(record)
        record.msg, record.args = record.getMessage(), None
        if record.exc_info:
            record.exc_text, record.exc_info = logging.Formatter().formatException(record.exc_info), None
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Let the record wait for the thread, or drop it."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Wait for the lines that are still to be written, but not for long."""
        with suppress(queue.Full):  # nobody reads the output: the thread does not come to an end
            self._waiting.put_nowait(None)
        self._thread.join(CLOSE_SECONDS)
        super().close()

    def _run(self, make_target: Callable[[], logging.Handler]) -> None:
        try:
            target = make_target()
        except Exception:
            # Not removed from the root logger: it may not have been added yet.
            self.setLevel(logging.CRITICAL + 1)
            log.exception("this log target cannot be used")
            return
        while (record := self._waiting.get()) is not None:
            self._write(target, record)

    def _write(self, target: logging.Handler, record: logging.LogRecord) -> None:
        lost = self._dropped + self._failed - self._reported
        text = f"{lost} log lines were dropped: they could not be written"
        notice = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, None, None)
        try:
            for each in (notice, record) if lost else (record,):
                # Without the handler's lock: at exit `logging` waits for it, for as long as a pipe is full.
                if target.filter(each):
                    target.emit(each)
            self._reported += lost
        except Exception:  # noqa: BLE001 — whatever the target raises, the next line gets its chance
            self._failed += 1


class DescriptorHandler(logging.Handler):
    """Writes lines to a file descriptor, past Python's buffers, which a blocked thread would keep locked at exit."""

    def __init__(self, descriptor: int, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._descriptor = descriptor

    def emit(self, record: logging.LogRecord) -> None:
        """Write the whole line in UTF-8; raises `OSError` when it cannot be written."""
        rest = f"{self.format(record)}\n".encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


class ReadableFormatter(logging.Formatter):
    """Time, level and text in one line; a traceback follows indented, so that no foreign text looks like a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text, its control characters escaped."""
        traceback = (record.exc_text or "").split("\n") if record.exc_text else []
        lines = [printable(record.getMessage()), *(f"    {printable(line)}" for line in traceback)]
        return f"{self.formatTime(record)} {record.levelname:<7} " + "\n".join(lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, as Cloud Logging reads it: https://cloud.google.com/logging/docs/structured-logging."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._environ = environ
        self._labels = {name: environ[name] for name in ("K_REVISION", "K_CONFIGURATION") if name in environ}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; the trace is named in full where the project is known."""
        line: dict[str, Any] = {
            "severity": record.levelname,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "message": super().format(record),
            "logging.googleapis.com/labels": {"python_logger": record.name, **self._labels},
            "logging.googleapis.com/sourceLocation": {
                "file": record.pathname,
                "line": str(record.lineno),
                "function": record.funcName,
            },
        }
        if trace := getattr(record, "trace", None):
            name = f"projects/{self._project}/traces/{trace}" if self._project else trace
            line |= {
                "logging.googleapis.com/trace": name,
                "logging.googleapis.com/spanId": getattr(record, "span_id", ""),
                "logging.googleapis.com/trace_sampled": getattr(record, "trace_sampled", False),
            }
        return json.dumps(line)

    @cached_property
    def _project(self) -> str | None:
        return project(self._environ)


def project(environ: Mapping[str, str]) -> str | None:
    """Return the project's id: from the environment, else from the metadata server, else None."""
    if given := environ.get("GOOGLE_CLOUD_PROJECT"):
        return given
    host = environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    try:
        with closing(http.client.HTTPConnection(host, timeout=METADATA_SECONDS)) as connection:
            connection.request("GET", "/computeMetadata/v1/project/project-id", headers={"Metadata-Flavor": "Google"})
            answer = connection.getresponse()
            return answer.read().decode() if answer.status == http.client.OK else None
    except (OSError, UnicodeError, http.client.HTTPException):
        return None


def configure(level: str, environ: Mapping[str, str], *, send: bool = False, descriptor: int = STDOUT) -> None:
    """Set up the root logger; `K_SERVICE` in the environment means Cloud Run, `send` to Cloud Logging's API as well."""
    formatter = JsonFormatter(environ) if "K_SERVICE" in environ else ReadableFormatter()
    handlers = [BackgroundHandler(lambda: DescriptorHandler(descriptor, formatter))]
    if send:
        handlers.append(BackgroundHandler(_api_handler))
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    for chatty in ("httpx", "httpcore", "uvicorn", "asyncio", "google", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _api_handler() -> logging.Handler:
    time.sleep(IMPORT_AFTER_SECONDS)
    from probe_agent.cloud_logging import api_handler  # noqa: PLC0415 — slow, see above

    return api_handler()


async def probe_answered(path: str, code: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> None:
    """Log one probe's answer, after it was sent, at debug level and with the trace of its request."""
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
