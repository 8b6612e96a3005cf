"""Where a model's shape is read from: a GGUF file, a local Ollama store, or a running Ollama."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType

from ops.models import local
from ops.models.errors import ModelsError
from ops.plan.errors import PlanRefused, SourceError
from ops.plan.gguf_facts import ModelShape, Tensor, model_shape
from ops.plan.metadata import ShapeUnknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROJECTOR_MEDIA_TYPE = "application/vnd.ollama.image.projector"
LONGEST_ARRAY = 1024
"""Entries of an array that is read: one for each layer; a vocabulary has hundreds of thousands."""
MOST_ENTRIES = 2**17
"""Of tensors, or of fields: a damaged count would be followed through the whole file."""
SHOW_SECONDS = 30.0
"""A whole `/api/show` holds the vocabulary, some megabytes, and is read from the model's file first."""
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
        return _from_store(model, [store] if store else local.stores(environ))
    except ShapeUnknown as error:
        raise PlanRefused(f"{model}: {error}") from error


def from_gguf(path: Path, name: str = "", projectors: Sequence[Path] = ()) -> ModelShape:
    """Read a GGUF file, and the projectors beside it."""
    fields, tensors = _header(path)
    projector = sum(tensor.size_bytes for each in projectors for tensor in _header(each)[1])
    return model_shape(fields, tensors, name or path.name, projector)


class _Header(GGUFReader):
    """Passes over long arrays: the reader makes an object of each token otherwise, eight seconds for Gemma 3's."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> Any:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        kind, count = struct.unpack_from("<IQ", self.data.data, orig_offs)
        if count <= LONGEST_ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        size = struct.calcsize("<IQ")
        if kind == GGUFValueType.STRING:
            for _ in range(count):
                size += 8 + struct.unpack_from("<Q", self.data.data, orig_offs + size)[0]
        else:
            size += count * self.gguf_scalar_to_np[GGUFValueType(kind)]().nbytes
        return size, [], [], [GGUFValueType.ARRAY, GGUFValueType(kind)]


def _header(path: Path) -> tuple[dict[str, Any], list[Tensor]]:
    try:
        with path.open("rb") as file:
            _, _, tensors_count, fields_count = struct.unpack("<IIQQ", file.read(24))
        if max(tensors_count, fields_count) > MOST_ENTRIES:
            raise ValueError(f"{tensors_count} tensors and {fields_count} fields")  # noqa: TRY301 — told with the others
        header = _Header(path)
        fields = {key: field.contents() for key, field in header.fields.items() if field.data}
        tensors = [Tensor(each.name, int(each.n_bytes), tuple(map(int, each.shape))) for each in header.tensors]
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}; give a GGUF file, or a model's name") from error
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise SourceError(f"{path}: is no whole GGUF file ({error}); download or pull it again") from error
    return fields, tensors


def _from_store(model: str, stores: list[Path]) -> ModelShape:
    try:
        found = local.find(model, stores)
    except ModelsError as error:
        raise SourceError(str(error)) from error
    weights = found.manifest.weights
    if weights is None:
        raise SourceError(f"{model}: its manifest names no weights; pull it again: ollama pull {model}")
    projectors = [found.store / blob.path for blob in found.manifest.blobs if blob.media_type == PROJECTOR_MEDIA_TYPE]
    return from_gguf(found.store / weights.path, model, projectors)


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
        raise SourceError(
            f"{url}: no Ollama there ({error or type(error).__name__}); start it, or give its URL"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{url}: /api/show of {model} is not understood ({error!r}); update Ollama") from error
    projector = (shown.get("projector_info") or {}).get("general.parameter_count", 0)
    return model_shape(fields, tensors, model, int(projector) * HALF_BYTES)


def _tensor(each: Mapping[str, Any]) -> Tensor:
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[each["type"].upper()]]
    return Tensor(each["name"], math.prod(each["shape"]) // block * size, tuple(each["shape"]))
