"""The types of keys and values that OLLAMA_KV_CACHE_TYPE takes; all but f16 (and f32, bf16) are quantised."""

from __future__ import annotations

# Ollama's default.
REFERENCE = "f16"
# Those that Ollama documents, and that the image is built with.
DOCUMENTED = (REFERENCE, "q8_0", "q4_0")
# Others that llama-server takes (`llama-server --help` of Ollama 0.32.15).
MORE = ("f32", "bf16", "q4_1", "iq4_nl", "q5_0", "q5_1")
