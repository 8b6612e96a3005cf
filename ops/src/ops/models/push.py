"""`ops models push`: find, check, send, and say at the end what was sent."""

from __future__ import annotations

import contextlib
import textwrap
import time
from typing import TYPE_CHECKING

from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from requests import RequestException

from ops.models import local
from ops.models.display import Display
from ops.models.errors import PushError
from ops.models.pieces import checked_crc32c
from ops.models.upload import Upload
from probe_agent.errors import BlobDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

AGAIN = "the same command goes on from here"
LINE_CHARACTERS = 300


def push(model: str, url: str, places: Sequence[Path], console: Console) -> None:
    """Push a model to the store at `url` from the first of the stores `places` that has it.

    Raises:
        ModelUnknown: no store has the model.
        PushError: it failed; what is in the bucket already stays there, for the next try.

    """
    began = time.monotonic()
    with _explained(model, url), Display(console) as display:
        found = local.find(model, places)
        display.line(f"{model}: {found.manifest.size_bytes / 1e6:,.1f} MB from {found.store} to {url}")
        checking = display.stage("checking")
        checking.expect(found.manifest.size_bytes)
        sums = {blob.sha256: checked_crc32c(found.store / blob.path, blob, checking.advance) for blob in found.blobs}
        sending = display.stage("sending")
        with storage.Client(project="unused") as client:
            Upload(client, url, sending).run(found, sums)
        now = sending.snapshot()
        sent, skipped = now.done_bytes - now.resumed_bytes, now.resumed_bytes
        display.line(
            f"sent {sent:,} bytes, skipped {skipped:,} that were there, {time.monotonic() - began:.1f} s: "
            f"set PROBE_AGENT_MODEL_BUCKET={url}",
            "bold green",
        )


@contextlib.contextmanager
def _explained(model: str, url: str) -> Iterator[None]:
    """Turn what the store, the library and the network raise into a `PushError` that says what to do."""
    bucket = url.removeprefix("gs://").partition("/")[0]
    try:
        yield
    except BlobDamaged as error:
        raise PushError(f"{error}; nothing was sent; mend the store: ollama pull {model}") from error
    except exceptions.NotFound as error:
        action = f"correct the name, or: gcloud storage buckets create gs://{bucket}"
        raise PushError(f"{url}: no such bucket; {action}") from error
    except (TransportError, RequestException) as error:
        raise PushError(_broken(url, error)) from error
    except GoogleAuthError as error:
        raise PushError(f"{url}: no credentials ({_line(error)}); gcloud auth application-default login") from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        action = f"you need roles/storage.objectUser on gs://{bucket}"
        raise PushError(f"{url}: no permission ({_line(error)}); {action}") from error
    except exceptions.GoogleAPIError as error:
        raise PushError(_broken(url, error)) from error
    except OSError as error:
        raise PushError(f"{error.filename}: {error.strerror}; the store must be readable") from error


def _broken(url: str, error: Exception) -> str:
    return f"{url}: the upload broke off ({_line(error)}); {AGAIN}"


def _line(error: Exception) -> str:
    """Write an error in one line, also one that is a whole page of a proxy's."""
    return textwrap.shorten(str(error), LINE_CHARACTERS, placeholder=" …")
