"""A completion that a client asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """One completion asked for: chat messages, or plain text that no template touches."""

    messages: Sequence[Mapping[str, Any]] = ()
    text: str = ""
    # Sampling options, by Ollama's names.
    options: Mapping[str, Any] = field(default_factory=dict)
    # Whether a prompt longer than the context is cut; otherwise it is refused with 400.
    truncate: bool = True
