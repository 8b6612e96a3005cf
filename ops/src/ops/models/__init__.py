"""`ops models`: models between a local Ollama store and a bucket."""
