"""The models that the stand-in stores, as /api/tags and /api/show describe them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ops.standin import wire
from ops.standin.errors import not_found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from ops.standin.engine import Prompt


@dataclass(frozen=True)
class StoredModel:
    """One entry of the store."""

    name: str
    num_ctx: int | None = None
    """The Modelfile's PARAMETER num_ctx, in tokens."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """The Modelfile's other parameters, which hold where a request names none."""
    template: str = ""
    """The Modelfile's, shown instead of the GGUF file's own, which is the one that llama.cpp uses."""
    system: str = ""
    """The Modelfile's system message, for chats that bring none."""
    trained_context: int = 8192
    """Tokens: no request gets a longer context than this."""
    path: Path | None = None
    """The GGUF file; only an engine that reads files needs it."""
    digest: str = ""
    """Sixty-four hex digits; made from name and num_ctx when not given."""
    blob: str = ""
    """What a runner is keyed by: two tags with one blob share a runner. The name when not given."""
    size: int = 98_362_760
    """Bytes on disk."""
    capabilities: tuple[str, ...] = ("completion",)
    format: str = "gguf"
    quantization_level: str = "Q4_1"
    family: str = "llama"
    parameter_size: str = "134.52M"
    embedding_length: int = 576
    info: Mapping[str, Any] = field(default_factory=dict)
    """More of /api/show's model_info than what follows from the fields above."""
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

    def told(self, prompt: Prompt) -> Prompt:
        """Add to a request's prompt what the Modelfile says and the request does not."""
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
    """The stored models by name; may be changed while the server runs."""

    def __init__(self, models: Iterable[StoredModel]) -> None:
        self._models = {model.name: model for model in models}

    def __iter__(self) -> Iterator[StoredModel]:
        return iter(list(self._models.values()))

    def add(self, model: StoredModel) -> None:
        """Store `model`, in place of one with its name."""
        self._models[model.name] = model

    def remove(self, name: str) -> None:
        """Forget a model; KeyError when there is none of the name. One that is loaded stays loaded."""
        del self._models[wire.full_name(name)]

    def change(self, name: str, **fields: Any) -> StoredModel:
        """Replace fields of a stored model, the digest for instance, and return what it is now."""
        model = replace(self._models[wire.full_name(name)], **fields)
        self.add(model)
        return model

    def find(self, name: str) -> StoredModel:
        """Return the model that a request names; ApiError 400 for no name at all, 404 for an unknown one."""
        model = self._models.get(wire.full_name(name))
        if model is None:
            raise not_found(name)
        return model
