"""What a build and the service that it deploys must agree on: the image is warmed for what the service runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops import kv_cache
from ops.lint.findings import Options, Problem, Severity
from ops.lint.values import mapping, text, texts, written
from probe_agent.ollama.names import same_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ops.lint.view import View

MIRRORS = {
    "_NUM_CTX": "OLLAMA_CONTEXT_LENGTH",
    "_NUM_PARALLEL": "OLLAMA_NUM_PARALLEL",
    "_KV_CACHE_TYPE": "OLLAMA_KV_CACHE_TYPE",
}
"""Substitutions of a build, and the variable of Ollama's container that each repeats."""
DEFAULTS = {"OLLAMA_NUM_PARALLEL": "1", "OLLAMA_KV_CACHE_TYPE": kv_cache.REFERENCE}
"""What Ollama takes where a variable is not set (Ollama's FAQ); the context depends on the GPU."""
FILE = re.compile(r"[\w./-]+\.ya?ml\b")
SOURCE = "/workspace/"
"""Where a build has what was submitted."""


def substitutions_of(build: dict[str, Any], options: Options) -> dict[str, str]:
    """Return a build's substitutions as it would run: the file's, and over them the operator's."""
    own = {str(name): written(value) for name, value in mapping(build.get("substitutions")).items()}
    return own | dict(options.substitutions)


def deployed(build_file: str, build: dict[str, Any], given: dict[str, str], files: Iterable[str]) -> set[str]:
    """Return which of the files a build deploys: the one in _SERVICE_FILE, else those that its steps name.

    A name is one of the submitted source, taken for the working directory; else of the build's own folder.
    """
    told = given.get("_SERVICE_FILE")
    names = [told] if told else [name for _, line in texts(build.get("steps")) for name in FILE.findall(line)]
    by_path = {Path(file).resolve(): file for file in files}
    found = set()
    for name in names:
        own = name.removeprefix(SOURCE)
        paths = (Path(folder, own).resolve() for folder in (".", Path(build_file).parent))
        found |= set([by_path[path] for path in paths if path in by_path][:1])
    return found


def problems(given: dict[str, str], view: View, service_file: str) -> Iterator[Problem]:
    """Yield each substitution that says another thing than the service. A model from elsewhere is not the build's."""
    source = text(view.agent.env.get("PROBE_AGENT_MODEL_SOURCE")) if view.agent else ""
    if view.ollama is None or source.lower() not in ("", "image"):
        return
    for name, variable in MIRRORS.items():
        here, there = given.get(name, ""), view.ollama.env.get(variable, "")
        if not here or "$" in here or variable in view.ollama.referred:
            continue
        if there and here.lower() != there.lower():
            yield _differs(name, here, f"{variable} in {service_file} is {there}", there)
        elif not there and here.lower() != DEFAULTS.get(variable, here.lower()):
            reason = (
                f"{name} is {here}, {variable} in {service_file} is not set, "
                f"which means {DEFAULTS[variable]} unless the image sets it"
            )
            fix = f"Set {variable} to '{here}' in the service."
            yield Problem(("substitutions", name), reason, fix, Severity.WARNING)
    here = given.get("_MODEL", "")
    pins = view.settings.models if view.settings else ()
    if here and pins and "$" not in here and not any(same_model(here, pin.name) for pin in pins):
        models = ", ".join(pin.name for pin in pins)
        yield _differs("_MODEL", here, f"PROBE_AGENT_MODEL in {service_file} is {models}", pins[0].name)


def _differs(name: str, here: str, there: str, wanted: str) -> Problem:
    reason = f"{name} is {here}, {there}: the image is made and warmed for another than the service runs"
    return Problem(("substitutions", name), reason, f"Set {name} to '{wanted}', or change the service.")
