"""Log lines sent to Cloud Logging's API, for places where nothing collects a container's output: a VM, another cloud.

Slow to import (half a second, 35 MiB: measured): only the thread that sends lines imports it.
"""

import logging

from google.cloud import logging as cloud
from google.cloud.logging_v2.handlers import CloudLoggingHandler
from google.cloud.logging_v2.handlers.transports import SyncTransport

NAME = "probe-agent"
# Google's libraries log what they send; sent in turn, that would never end.
OWN_LOGGERS = ("google", "urllib3")


def api_handler(client: cloud.Client | None = None) -> logging.Handler:
    """Return a handler that sends each line by itself; the default client finds project and credentials as usual."""
    client = client or cloud.Client(_use_grpc=False)  # type: ignore[no-untyped-call]
    handler = CloudLoggingHandler(client, name=NAME, transport=SyncTransport)

    def name_trace(record: logging.LogRecord) -> bool:
        if trace := getattr(record, "trace", None):
            record.trace = f"projects/{client.project}/traces/{trace}"
        return not record.name.startswith(OWN_LOGGERS)

    handler.filters.insert(0, name_trace)
    return handler
