"""The image of Ollama itself, unpacked into a folder: its entrypoint, binary, model and prompt cache are what runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ops import local_store
from ops.up.errors import LaunchError
from ops.up.model_choice import ModelChoice
from ops.up.runtime import Kind, Runtime
from probe_agent.errors import ManifestRefused
from probe_agent.ollama.names import same_model
from probe_agent.prompt_cache.image_manifest import ImageManifest

ENTRYPOINT = "usr/local/bin/entrypoint.sh"
BINARY = "usr/bin/ollama"
MODELS = "models"
ADVICE = "give the root folder of an unpacked image of Ollama, as ollama-image/unpacked.sh makes one"


def recipe(root: Path) -> Runtime:
    """Return how the image at `root` is run here: as the platform does, but for the folder.

    Raises:
        LaunchError: `root` is no such image.

    """
    for part in (ENTRYPOINT, BINARY):
        if not (root / part).is_file():
            raise LaunchError(f"--image-root {root}: has no {part}; {ADVICE}")
    return Runtime(Kind.IMAGE, ("bash", str(root.absolute() / ENTRYPOINT)), f"the image unpacked at {root}")


def choice(root: Path, wanted: str | None, *, asked: str | None, environ: Mapping[str, str]) -> ModelChoice:
    """Choose the image's model. `wanted` is the file's, `asked` the operator's --model, each with or without a context.

    Raises:
        LaunchError: the image says nothing of its model, or the operator asked for another one.

    """
    try:
        manifest = ImageManifest.read((root / MODELS / "manifest.json").read_bytes())
    except (OSError, ManifestRefused) as error:
        raise LaunchError(f"--image-root {root}: {error}; {ADVICE}") from error
    if asked and not _is_only(manifest.model, asked):
        raise LaunchError(f"--model {asked}: the image at {root} holds {manifest.model} alone; leave --model out")
    named = asked or wanted
    if named is None or not _is_only(manifest.model, named):
        named = f"{manifest.model}@{manifest.num_ctx}"
    models = root.absolute() / MODELS
    home = local_store.cache_directory(environ) / "home"
    home.mkdir(parents=True, exist_ok=True)
    here = {
        "OLLAMA_MODELS": models,
        "OLLAMA_BINARY": root.absolute() / BINARY,
        "PROMPT_CACHE_DIR": models / "prompt-cache",
        "HOME": home,
    }
    return ModelChoice(named, "what the image holds", {name: str(path) for name, path in here.items()})


def _is_only(model: str, named: str) -> bool:
    """Whether `named`, which may list several models, means this one alone."""
    names = ModelChoice(named).names
    return len(names) == 1 and same_model(names[0], model)
