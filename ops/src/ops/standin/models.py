"""The models that the stand-in stores, as /api/tags and /api/show describe them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ops.standin import wire
from ops.standin.errors import not_found
from ops.standin.prompt import Prompt
from probe_agent.ollama.names import canonical_name


@dataclass(frozen=True)
class ServedModel:
    """One entry of the store."""

    name: str
    # The Modelfile's PARAMETER num_ctx, in tokens.
    num_ctx: int | None = None
    # The Modelfile's other parameters, which hold where a request names none.
    parameters: Mapping[str, Any] = field(default_factory=dict)
    # The Modelfile's, shown instead of the GGUF file's own, which is the one that llama.cpp uses.
    template: str = ""
    # The Modelfile's system message, for chats that bring none.
    system: str = ""
    # Tokens: no request gets a longer context than this.
    trained_context: int = 8192
    # The GGUF file; only an engine that reads files needs it.
    path: Path | None = None
    # Sixty-four hex digits; made from name and num_ctx when not given.
    digest: str = ""
    # What a runner is keyed by: two tags with one blob share a runner. The name when not given.
    blob: str = ""
    # Bytes on disk.
    size: int = 98_362_760
    capabilities: tuple[str, ...] = ("completion",)
    format: str = "gguf"
    quantization_level: str = "Q4_1"
    family: str = "llama"
    parameter_size: str = "134.52M"
    embedding_length: int = 576
    # More of /api/show's model_info than what follows from the fields above.
    info: Mapping[str, Any] = field(default_factory=dict)
    modified_at: str = field(default_factory=wire.now)

    def __post_init__(self) -> None:
        seed = f"{self.name} {self.num_ctx}".encode()
        object.__setattr__(self, "name", wire.full_name(self.name))
        object.__setattr__(self, "digest", self.digest or hashlib.sha256(seed).hexdigest())
        object.__setattr__(self, "blob", self.blob or self.name)

    @property
    def details(self) -> dict[str, Any]:
        """The `details` object that every description of the model holds."""
        return {
            "parent_model": "",
            "format": self.format,
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameter_size,
            "quantization_level": self.quantization_level,
        }

    def tag(self) -> dict[str, Any]:
        """Return the model's entry in /api/tags."""
        lengths = {"context_length": self.trained_context, "embedding_length": self.embedding_length}
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": self.modified_at,
            "size": self.size,
            "digest": self.digest,
            "details": self.details | lengths,
            "capabilities": list(self.capabilities),
        }

    def show(self) -> dict[str, Any]:
        """Return the answer of /api/show."""
        parameters = list(self._parameters())
        pins = "".join(f"PARAMETER {name} {value}\n" for name, value in parameters)
        return {
            "modelfile": f"FROM /models/blobs/{self.blob}\n{pins}",
            "parameters": "\n".join(f"{name:<30} {json.dumps(value)}" for name, value in parameters),
            "template": self.template or self.info.get("tokenizer.chat_template", ""),
            **({"system": self.system} if self.system else {}),
            "details": self.details,
            "model_info": {
                **self.info,
                "general.architecture": self.family,
                f"{self.family}.context_length": self.trained_context,
                f"{self.family}.embedding_length": self.embedding_length,
            },
            "capabilities": list(self.capabilities),
            "modified_at": self.modified_at,
        }

    def completed(self, prompt: Prompt) -> Prompt:
        """Return a request's prompt with the Modelfile's system message and parameters, where the request has none."""
        messages = prompt.messages
        if self.system and messages and messages[0].get("role") != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        return replace(prompt, messages=messages, options={**self.parameters, **prompt.options})

    def _parameters(self) -> Iterator[tuple[str, Any]]:
        """Yield the Modelfile's parameters by name, a list's values each for itself."""
        pin = {} if self.num_ctx is None else {"num_ctx": self.num_ctx}
        for name, value in sorted({**self.parameters, **pin}.items()):
            yield from ((name, each) for each in (value if isinstance(value, list) else [value]))


class Store:
    """The models by name, in any spelling; may be changed while the server runs."""

    def __init__(self, models: Iterable[ServedModel]) -> None:
        self._models = {canonical_name(model.name): model for model in models}

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(list(self._models.values()))

    def add(self, model: ServedModel) -> None:
        """Store `model`, in place of one with its name."""
        self._models[canonical_name(model.name)] = model

    def remove(self, name: str) -> None:
        """Forget a model; KeyError if there is none of that name. A loaded model stays loaded."""
        del self._models[canonical_name(name)]

    def change(self, name: str, **fields: Any) -> ServedModel:
        """Replace fields of a stored model, the digest for instance, and return what it is now."""
        model = replace(self._models[canonical_name(name)], **fields)
        self.add(model)
        return model

    def find(self, name: str) -> ServedModel:
        """Return the model that a request names; ApiError 400 for an invalid name, 404 for an unknown one."""
        model = self._models.get(canonical_name(wire.full_name(name)))
        if model is None:
            raise not_found(name)
        return model
