"""Makes a model in a store on disk: from one GGUF file, or from another model with other parameters."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from ops.gguf_file import MAGIC, read_header
from ops.standin import wire
from ops.standin.disk import CONFIG_MEDIA_TYPE, PARAMS_MEDIA_TYPE, DiskStore, Layer
from ops.standin.errors import ApiError
from ops.standin.llamacpp import parameter_size
from ops.standin.models import Store
from probe_agent.ollama.store import MODEL_MEDIA_TYPE, BlobRef

# Statuses on the way, at the end the configuration and the layers of the model.
Made = Generator[str, None, tuple[Layer, list[Layer]]]

_NOT_DONE = (
    *("quantize", "quantization", "adapters", "template", "system", "license", "messages"),
    *("draft_files", "draft_quantize", "remote_host", "renderer", "parser", "requires", "info"),
)
_FORWARD = "set the model up with a real Ollama, whose store the stand-in serves too"


class Creation:
    """One request for a model; ApiError 400 for a request that is none or asks for what is not done here."""

    def __init__(self, models: Store, disk: DiskStore, body: Mapping[str, Any]) -> None:
        self._models = models
        self._disk = disk
        name = wire.text_field(body, "model") or wire.text_field(body, "name")
        if not name:
            raise ApiError(400, "invalid model name")
        self._name = wire.full_name(name)
        self._base = wire.text_field(body, "from")
        self._files = _object(body, "files", "string")
        self._parameters = _object(body, "parameters", "interface {}")
        for field in _NOT_DONE:
            if body.get(field):
                raise ApiError(400, f"{field} is not part of the stand-in: {_FORWARD}")

    def steps(self) -> Iterator[str]:
        """Make it, yielding each status, at last "success".

        Raises:
            ApiError: the request asks for what is wrong, missing or not done here.
            OSError: the store is read-only, full, or lacks a blob.
            ValueError: a GGUF file (NotGguf) or a layer is damaged.
            ManifestRefused: so is the manifest of the base.

        """
        if self._base:
            config, layers = yield from self._derived()
        elif self._files is not None:
            config, layers = yield from self._imported(self._files)
        else:
            raise ApiError(400, "neither 'from' or 'files' was specified")
        for layer in layers:
            verb = "creating new layer" if layer.is_new else "using existing layer"
            yield f"{verb} sha256:{layer.blob.sha256}"
        yield "writing manifest"
        self._models.add(self._disk.describe(self._disk.put(self._name, config, layers)))
        yield "success"

    def _derived(self) -> Made:
        base = wire.full_name(self._base)
        try:
            manifest = self._disk.manifest(base)
        except FileNotFoundError as error:
            yield "pulling manifest"
            raise ApiError(
                500, f"pull model manifest: {base} is not in the store, and the stand-in pulls nothing"
            ) from error
        config, *blobs = manifest.blobs
        parameters = self._parameters or {}
        layers = []
        for blob in blobs:
            self._disk.touch(self._disk.root / blob.path)
            if blob.media_type == PARAMS_MEDIA_TYPE:
                parameters = {**json.loads((self._disk.root / blob.path).read_bytes()), **parameters}
            else:
                layers.append(Layer(blob, origin=base))
        return Layer(config), [*layers, *self._parameter_layers(parameters)]

    def _imported(self, files: Mapping[str, Any]) -> Made:
        for file in files:
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
                raise ApiError(400, "file path must be relative")
            if file.endswith(".safetensors"):
                raise ApiError(400, f"safetensors files are not part of the stand-in: {_FORWARD}")
        if len(files) > 1:
            raise ApiError(400, f"a model of several files is not part of the stand-in: {_FORWARD}")
        if not files:
            raise ApiError(400, "unknown type")
        (file,) = files
        path = self._disk.blob(wire.text_field(files, file))
        if not file.endswith(".gguf") and not _is_gguf(path):
            raise ApiError(400, "unknown type")
        yield "parsing GGUF"
        if not _is_gguf(path):
            raise ApiError(400, "supplied file was not in GGUF format")
        self._disk.touch(path)
        header = read_header(path)
        if (kind := header.fields.get("general.type", "model")) != "model":
            raise ApiError(400, f"a GGUF file of the type {kind} is not part of the stand-in: {_FORWARD}")
        if (parts := header.fields.get("split.count", 1)) > 1:
            raise ApiError(400, f"it is one of the {parts} files of a model: merge them with llama-gguf-split")
        # The file is stored as it came; Ollama from 0.32 on puts its tensors in order.
        weights = Layer(BlobRef(path.name.removeprefix("sha256-"), path.stat().st_size, MODEL_MEDIA_TYPE))
        config = {
            "model_format": "gguf",
            "model_family": header.architecture,
            "model_families": [header.architecture],
            "model_type": parameter_size(header.parameter_count),
            "file_type": header.quantization,
            "architecture": "amd64",  # Ollama's on every machine
            "os": "linux",
        }
        return self._disk.add([wire.go_json(config)], CONFIG_MEDIA_TYPE), [
            weights,
            *self._parameter_layers(self._parameters or {}),
        ]

    def _parameter_layers(self, parameters: Mapping[str, Any]) -> list[Layer]:
        """Store the parameters as one layer, if there are any."""
        if not parameters:
            return []
        return [self._disk.add([wire.go_json(dict(sorted(parameters.items())))], PARAMS_MEDIA_TYPE)]


def _object(body: Mapping[str, Any], field: str, kind: str) -> dict[str, Any] | None:
    value = body.get(field)
    if value is None or isinstance(value, dict):
        return value
    found = wire.json_type(value)
    raise ApiError(
        400, f"json: cannot unmarshal {found} into Go struct field CreateRequest.{field} of type map[string]{kind}"
    )


def _is_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
