"""Readiness sidecar for Ollama: ready means that the model answers."""

__version__ = "0.1.0"
