"""The gateway: the agent on the data path, in front of Ollama. A chain of handlers, composed in `app`."""
