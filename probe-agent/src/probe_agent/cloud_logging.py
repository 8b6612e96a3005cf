"""The structured handler of Cloud Logging, with the time and the full trace name that it leaves out.

Slow to import (half a second, 35 MiB: measured): only `logs` imports it, and late.
"""

import http.client
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from google.cloud.logging_v2.handlers import StructuredLogHandler, structured_log

# The metadata server is in the instance: one that does not answer in a second is not there.
METADATA_TIMEOUT_SECONDS = 1.0


class DatedStructuredHandler(StructuredLogHandler):
    """Writes each line with the time it was logged at, not the one it was passed on at."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Name the trace as Cloud Logging correlates it: projects/P/traces/T."""
        trace = getattr(record, "trace", None)
        if trace and self.project_id:
            record.trace = f"projects/{self.project_id}/traces/{trace}"
        return bool(super().filter(record))

    def format(self, record: logging.LogRecord) -> str:
        """Put the time first."""
        line = str(super().format(record))  # type: ignore[no-untyped-call]
        time = datetime.fromtimestamp(record.created, UTC).isoformat()
        return f'{{"time": "{time}", {line[1:]}'


def structured_handler(stream: TextIO, environ: Mapping[str, str]) -> logging.Handler:
    """Return the handler, labelled with the revision and configuration of `environ`."""
    # The library reports itself once through its own logger, from within `emit`; without this the report
    # would come back to the root logger and through the same handler again.
    logging.getLogger(structured_log.__name__).propagate = False
    labels = {name: environ[name] for name in ("K_REVISION", "K_CONFIGURATION") if name in environ}
    handler: logging.Handler = DatedStructuredHandler(  # type: ignore[no-untyped-call]
        stream=stream, labels=labels, project_id=_project(environ)
    )
    return handler


def _project(environ: Mapping[str, str]) -> str | None:
    """Return the project's id: from the environment, else from the metadata server, else None."""
    if given := environ.get("GOOGLE_CLOUD_PROJECT"):
        return given
    host = environ.get("GCE_METADATA_HOST", "metadata.google.internal")
    try:
        connection = http.client.HTTPConnection(host, timeout=METADATA_TIMEOUT_SECONDS)
    except http.client.InvalidURL:
        return None
    try:
        connection.request("GET", "/computeMetadata/v1/project/project-id", headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        return answer.read().decode() if answer.status == http.client.OK else None
    except (OSError, UnicodeError, http.client.HTTPException):
        return None
    finally:
        connection.close()
