"""One model in a process of its own: llama.cpp's HTTP server on a random loopback port.

Run as a file with the runner's options in JSON as the only argument. Prints {"address": URL} once it
serves, and ends when its standard input does: so it outlives nobody.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

import xllamacpp

# OLLAMA_KV_CACHE_TYPE by llama.cpp's names.
LOADED_TYPES = {"f16": "GGML_TYPE_F16", "q8_0": "GGML_TYPE_Q8_0", "q4_0": "GGML_TYPE_Q4_0"}


def parameters(options: dict[str, Any]) -> xllamacpp.CommonParams:
    """Translate the options of the engine into llama.cpp's."""
    params = xllamacpp.CommonParams()
    params.model.path = options["path"]
    params.n_ctx = options["num_ctx"] * options["parallel"]
    params.n_parallel = options["parallel"]
    params.ctx_shift = options["shift"]
    params.embedding = options["embedding"]
    params.cache_ram_mib = options["cache_ram_mib"]
    params.n_gpu_layers = 0
    params.verbosity = 1
    params.fit_params = False  # nothing is left open that could be fitted, and it doubles the load time
    if options["num_batch"]:
        params.n_batch = params.n_ubatch = options["num_batch"]
    if options["num_thread"]:
        params.cpuparams.n_threads = options["num_thread"]
    cache_type = getattr(xllamacpp.ggml_type, LOADED_TYPES[options["kv_cache_type"]])
    params.cache_type_k = params.cache_type_v = cache_type
    return params


def main() -> None:
    """Load, say where, and serve until standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = xllamacpp.Server(parameters(json.loads(sys.argv[1])))
    print(json.dumps({"address": server.listening_address}), flush=True)  # noqa: T201 -- the parent reads it
    threading.Event().wait()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
