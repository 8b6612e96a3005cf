"""Ollama as the agent sees it: the client, its nouns, its store. Knows nothing of readiness."""
