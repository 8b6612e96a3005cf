"""What the two images stand on, made on this machine: Debian by debootstrap, and an Ollama, or our stand-in, in it."""

from __future__ import annotations

import ast
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from lab.images.buildah import Buildah

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "probe-agent")
# The agent's interpreter, the bake's, and what an Ollama and llama.cpp are linked to.
PACKAGES = "python3,python3-venv,ca-certificates,libstdc++6,libgomp1"
# For a slow mirror; a minute where it was tried.
DEBOOTSTRAP_SECONDS = 900.0
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def debian() -> Path:
    """Return a small Debian with Python as a tar file, made once and kept in the cache."""
    tar = CACHE / f"bookworm-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            command = ("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", folder)
            subprocess.run(command, stdout=subprocess.DEVNULL, timeout=DEBOOTSTRAP_SECONDS, check=True)
            # A site with a certificate of its own has it among this machine's.
            shutil.copy(CERTIFICATES, f"{folder}{CERTIFICATES}")
            subprocess.run(("tar", "-C", folder, "-cf", f"{tar}.part", "."), timeout=DEBOOTSTRAP_SECONDS, check=True)
        Path(f"{tar}.part").rename(tar)
    return tar


def libraries(binary: str) -> Path:
    """Return the folder of an installed Ollama's runner."""
    return Path(binary).resolve().parents[1] / "lib" / "ollama"


def ollama(buildah: Buildah, binary: str) -> str:
    """Make an image of an installed Ollama, where its official one has it; returns its name."""
    files = {"/usr/bin/ollama": Path(binary).resolve(), "/usr/lib/ollama": libraries(binary)}
    return buildah.base("ollama-base", debian(), files)


def standin(buildah: Buildah, folder: Path) -> str:
    """Make an image of the stand-in, under Ollama's name; returns its own name."""
    program, runner = folder / "ollama", folder / "llama-server"
    program.write_text('#!/bin/sh\nPYTHONPATH=/opt/standin exec /opt/standin/venv/bin/python -m ops.standin "$@"\n')
    runner.write_text("#!/bin/sh\n")  # never called: the build only moves it aside
    for script in (program, runner):
        script.chmod(0o755)
    files = {
        "/usr/bin/ollama": program,
        "/usr/lib/ollama/llama-server": runner,
        "/opt/standin/ops": ROOT / "ops/src/ops",
        "/opt/standin/probe_agent": ROOT / "probe-agent/src/probe_agent",
        "/opt/standin/requirements.txt": ROOT / "ops/requirements.txt",
    }
    venv = "python3 -m venv /opt/standin/venv"
    packages = "/opt/standin/venv/bin/pip install --quiet --require-hashes -r /opt/standin/requirements.txt"
    volume = (pip_settings(folder / "pip.conf"), "/etc/pip.conf")
    return buildah.base("standin-base", debian(), files, f"{venv} && {packages}", volume)


def pip_settings(file: Path) -> Path:
    """Write this machine's settings of pip, from its files and its environment, as one pip.conf; returns it."""
    listed = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"), capture_output=True, text=True, timeout=60, check=True
    )
    settings = {}
    for line in listed.stdout.splitlines():  # global.index-url='…', or :env:.index-url='…', later ones winning
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = ast.literal_eval(value)
    if "cert" in settings:
        settings["cert"] = str(CERTIFICATES)
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    return file
