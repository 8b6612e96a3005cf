"""Where a model's shape is read from: a GGUF file, a local Ollama store, or a running Ollama."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from ops.gguf_file import Header, NotGguf, Tensor, read_header
from ops.plan import stored
from ops.plan.errors import PlanRefused, SourceError
from ops.plan.gguf_facts import ModelShape, model_shape
from ops.plan.metadata import ShapeUnknown
from probe_agent.errors import cause_of

PROJECTOR_MEDIA_TYPE = "application/vnd.ollama.image.projector"
# A whole `/api/show` holds the vocabulary, some megabytes, and Ollama reads it from the model's file first.
SHOW_SECONDS = 30.0
HALF_BYTES = 2


def shape_of(model: str, *, store: Path | None, url: str | None, environ: Mapping[str, str] = os.environ) -> ModelShape:
    """Read the model: at `url` if one is given, else the file of that name, else from the local stores.

    Raises:
        SourceError: it is not there, or cannot be read.
        PlanRefused: it is no model that can be planned.

    """
    try:
        if url:
            return _from_server(model, url)
        if model.endswith(".gguf") or Path(model).is_file():
            return from_gguf(Path(model))
        return _from_store(model, [store] if store else stored.stores(environ))
    except ShapeUnknown as error:
        raise PlanRefused(f"{model}: {error}") from error


def from_gguf(path: Path, name: str = "", projectors: Sequence[Path] = ()) -> ModelShape:
    """Read a GGUF file, and the projectors beside it."""
    header = _header(path)
    projector = sum(tensor.size_bytes for each in projectors for tensor in _header(each).tensors)
    return model_shape(header.fields, header.tensors, name or path.name, projector)


def _header(path: Path) -> Header:
    try:
        return read_header(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; give a GGUF file, or a model's name") from error
    except NotGguf as error:
        raise SourceError(f"{error}; download or pull it again") from error


def _from_store(model: str, stores: list[Path]) -> ModelShape:
    store, manifest = stored.find(model, stores)
    weights = manifest.weights
    if weights is None:
        raise SourceError(f"{model}: its manifest names no weights; pull it again: ollama pull {model}")
    projectors = [store / blob.path for blob in manifest.blobs if blob.media_type == PROJECTOR_MEDIA_TYPE]
    return from_gguf(store / weights.path, model, projectors)


def _from_server(model: str, url: str) -> ModelShape:
    """Ask a running Ollama; the arrays by layer come with its long answer alone."""
    try:
        asked = {"model": model, "verbose": True}
        answer = httpx.post(f"{url.removesuffix('/')}/api/show", json=asked, timeout=SHOW_SECONDS)
        answer.raise_for_status()
        shown = answer.json()
        tensors = [_tensor(each) for each in shown["tensors"]]
        fields = {**shown["model_info"]}
    except httpx.HTTPStatusError as error:
        said = error.response.text.strip()[:200]
        raise SourceError(
            f"{url}: /api/show answers {error.response.status_code} {said}; is {model} pulled?"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceError(f"{url}: no Ollama there ({cause_of(error)}); start it, or give its URL") from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{url}: /api/show of {model} is not understood ({error!r}); update Ollama") from error
    projector = (shown.get("projector_info") or {}).get("general.parameter_count", 0)
    return model_shape(fields, tensors, model, int(projector) * HALF_BYTES)


def _tensor(each: Mapping[str, Any]) -> Tensor:
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[each["type"].upper()]]
    return Tensor(each["name"], math.prod(each["shape"]) // block * size, tuple(each["shape"]))
