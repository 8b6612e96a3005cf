"""What Cloud Storage's library, the network and the volume raise, said as a `SourceError` with what to do."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from probe_agent.errors import SourceError
from probe_agent.late_import import import_grpc, whole_or_nothing

MORE_ROOM = "Raise the volume's sizeLimit."
THE_WAY = "Check the way to Cloud Storage: Direct VPC with all-traffic, Private Google Access."


@contextmanager
def translated(url: str, folder: Path) -> Iterator[None]:
    """Turn what the library, the network and the volume raise into a `SourceError` that says what to do."""
    try:
        with whole_or_nothing("requests", "urllib3"):  # google brings compiled modules, which are left alone
            import_grpc()
            from google.api_core import exceptions  # noqa: PLC0415 — slow to import, and only who downloads needs it
            from google.auth.exceptions import GoogleAuthError, TransportError  # noqa: PLC0415
            from google.cloud import storage  # noqa: F401, PLC0415
            from requests import RequestException  # noqa: PLC0415
    except Exception as error:  # whatever the middle of an import raises
        action = "Look for what uses up the memory and the open files of the container."
        raise SourceError(f"the library that downloads does not load: {error}", action=action) from error
    try:
        yield
    except exceptions.NotFound as error:
        action = "Check PROBE_AGENT_MODEL_BUCKET; copy the store into it, manifests and blobs."
        raise SourceError(f"{url}: no such bucket or object: {_object(error)}", action=action) from error
    except (exceptions.GoogleAPIError, TransportError, RequestException) as error:
        if isinstance(error, exceptions.Forbidden | exceptions.Unauthorized):
            raise _no_permission(url, error) from error
        raise SourceError(f"{url}: the download broke off: {error}", action=THE_WAY) from error
    except GoogleAuthError as error:
        action = "Run as a service account, or: gcloud auth application-default login."
        raise SourceError(f"{url}: no usable credentials: {error}", action=action) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        action = MORE_ROOM if full else "Check the volume's mount: the agent must write there."
        reason = "the volume is full" if full else str(error.strerror)
        raise SourceError(f"{folder}: {reason}", action=action) from error


def _object(error: Any) -> str:
    """Return the name of what is not there; the library's own text is a page of it."""
    asked = error.response.url if error.response is not None else ""
    return unquote(urlsplit(asked).path.partition("/o/")[2]) or str(error.message)


def _no_permission(url: str, error: Exception) -> SourceError:
    action = "Give the service account roles/storage.objectViewer on the bucket."
    return SourceError(f"{url}: no permission: {error}", action=action)
