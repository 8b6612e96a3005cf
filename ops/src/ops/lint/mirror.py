"""What a build and the service that it deploys must agree on: the image is warmed for what the service runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.lint.findings import Options, Problem
from ops.lint.values import mapping, text, written
from probe_agent.proof import ModelPin, same_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.lint.view import View

MIRRORS = {
    "_NUM_CTX": "OLLAMA_CONTEXT_LENGTH",
    "_NUM_PARALLEL": "OLLAMA_NUM_PARALLEL",
    "_KV_CACHE_TYPE": "OLLAMA_KV_CACHE_TYPE",
}
"""Substitutions of a build, and the variable of Ollama's container that each repeats."""


def substitutions_of(build: dict[str, Any], options: Options) -> dict[str, str]:
    """Return a build's substitutions as it would run: the file's, and over them the operator's."""
    own = {str(name): written(value) for name, value in mapping(build.get("substitutions")).items()}
    return own | dict(options.substitutions)


def deploys(build_file: str, service_file: str, given: dict[str, str]) -> bool:
    """Whether a build deploys that file: the one in _SERVICE_FILE, else any of its own folder."""
    folder, service = Path(build_file).resolve().parent, Path(service_file).resolve()
    if name := given.get("_SERVICE_FILE"):
        return Path(folder, name).resolve() == service
    return service.parent == folder


def problems(given: dict[str, str], view: View, service_file: str) -> Iterator[Problem]:
    """Yield each substitution that says another thing than the service. A model from elsewhere is not the build's."""
    source = text(view.agent.env.get("PROBE_AGENT_MODEL_SOURCE")) if view.agent else ""
    if view.ollama is None or source.lower() not in ("", "image"):
        return
    for name, variable in MIRRORS.items():
        here, there = given.get(name, ""), view.ollama.env.get(variable, "")
        if here and there and "$" not in here and here.lower() != there.lower():
            yield _differs(name, here, f"{variable} in {service_file} is {there}", there)
    here = given.get("_MODEL", "")
    pins = view.settings.models if view.settings else ()
    if here and pins and "$" not in here and not any(same_name(ModelPin(here).full_name, pin) for pin in pins):
        models = ", ".join(pin.name for pin in pins)
        yield _differs("_MODEL", here, f"PROBE_AGENT_MODEL in {service_file} is {models}", pins[0].name)


def _differs(name: str, here: str, there: str, wanted: str) -> Problem:
    reason = f"{name} is {here}, {there}: the image is made and warmed for another than the service runs"
    return Problem(("substitutions", name), reason, f"Set {name} to '{wanted}', or change the service.")
