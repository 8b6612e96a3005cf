"""Readiness sidecar for Ollama: ready means that the model answers."""

from importlib.metadata import version

__version__ = version("probe-agent")
