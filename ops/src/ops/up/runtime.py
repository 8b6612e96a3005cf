"""What stands for a container's image on this machine: a real Ollama, the stand-in, the agent, a command, itself."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ops.images import base_name
from ops.service.containers import Container
from ops.up.errors import LaunchError

# For `ollama --version`, which starts a program of some 40 MB, maybe from a cold disk.
VERSION_TIMEOUT_SECONDS = 10


class Kind(StrEnum):
    """The recipes there are."""

    OLLAMA = "ollama"
    IMAGE = "image"
    STANDIN = "stand-in"
    AGENT = "probe-agent"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Runtime:
    """How a container is run here: which recipe, the command line, and its name and version for people."""

    kind: Kind
    argv: tuple[str, ...]
    description: str


def choose(container: Container, *, commands: Mapping[str, str], standin: bool, environ: Mapping[str, str]) -> Runtime:
    """Pick the recipe by the image's base name; an explicit command comes first.

    Raises:
        LaunchError: no recipe fits the image, or OLLAMA_BIN is set and wrong.

    """
    if container.name in commands:
        command = commands[container.name]
        return Runtime(Kind.COMMAND, tuple(shlex.split(command)), command)
    if is_ollama(container):
        binary = None if standin else find_ollama(environ)
        return ollama(binary, environ) if binary else stand_in()
    if is_agent(container):
        return Runtime(Kind.AGENT, (sys.executable, "-m", "probe_agent"), f"probe-agent {_version('probe-agent')}")
    raise LaunchError(
        f"container {container.name!r}: no local recipe for image {container.image!r}; "
        f"say what to run: --process {container.name}=COMMAND"
    )


def is_ollama(container: Container) -> bool:
    """Say whether the image is an Ollama, whatever runs in its place."""
    image = base_name(container.image)
    return image == "ollama" or image.startswith("ollama-")


def is_agent(container: Container) -> bool:
    """Say whether the image is the agent's, whatever runs in its place."""
    return base_name(container.image) == "probe-agent"


def find_ollama(environ: Mapping[str, str]) -> str | None:
    """Return the path of the ollama program: OLLAMA_BIN, else the one on PATH, else None.

    Raises:
        LaunchError: OLLAMA_BIN is set, but is no program.

    """
    wanted = environ.get("OLLAMA_BIN")
    found = shutil.which(wanted or "ollama", path=environ.get("PATH"))
    if wanted and not found:
        raise LaunchError(f"OLLAMA_BIN={wanted}: is no program; correct it, or unset it to use the stand-in")
    return found


def ollama(binary: str, environ: Mapping[str, str] = os.environ) -> Runtime:
    """Return the recipe of a real Ollama."""
    # Port 1 of loopback: the client must not report the version of a server that happens to run.
    try:
        done = subprocess.run(  # noqa: S603 — the operator's own ollama
            [binary, "--version"],
            env={**environ, "OLLAMA_HOST": "127.0.0.1:1"},
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{binary} --version: {error}; repair it, or use --standin") from error
    version = re.search(r"\d+\.\d+\.\S+", done.stdout + done.stderr)
    return Runtime(
        Kind.OLLAMA,
        (binary, "serve"),
        f"real Ollama {version[0] if version else '(version unknown)'} ({binary})",
    )


def stand_in() -> Runtime:
    """Return the recipe of the stand-in: the Ollama API over llama.cpp."""
    return Runtime(
        Kind.STANDIN,
        (sys.executable, "-m", "ops.standin", "serve"),
        f"stand-in for Ollama (xllamacpp {_version('xllamacpp')})",
    )


def has_gpu() -> bool:
    """Say whether Ollama would find a GPU here: NVIDIA's or AMD's device file, or Apple's own chip."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"  # Ollama computes on the CPU of Intel's Macs
    return any(os.path.exists(path) for path in ("/dev/nvidiactl", "/dev/kfd"))  # noqa: PTH110 — device files


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        advice = "install it as `make run` does: pip install -r ops/requirements.txt, then -e probe-agent -e ops"
        raise LaunchError(f"the Python package {distribution} is not installed here; {advice}") from error
