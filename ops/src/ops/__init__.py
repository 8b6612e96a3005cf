"""Operator tools around probe-agent: the local Cloud Run and the Ollama stand-in."""
