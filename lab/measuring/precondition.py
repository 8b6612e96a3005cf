"""What a benchmark needs of this machine, and says when it is not here."""

from __future__ import annotations

import os
from pathlib import Path

from ops.up import runtime


class NotHereError(RuntimeError):
    """A benchmark cannot be measured on this machine; its text says what is missing, and how to get it."""


def real_ollama() -> str:
    """Return the real Ollama's binary; raises `NotHereError` where there is none with a llama-server of its own."""
    binary = runtime.find_ollama(os.environ)
    if binary is None:
        raise NotHereError("needs a real Ollama: put one on PATH, or name it in OLLAMA_BIN")
    runner = Path(binary).resolve().parents[1] / "lib" / "ollama" / "llama-server"
    if not runner.exists():
        raise NotHereError(f"needs an Ollama from 0.30 on, with its {runner}")
    return binary
