"""What the two images stand on, made on this machine: Debian by debootstrap, and an Ollama in its place."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "probe-agent")
PACKAGES = "python3,python3-venv,ca-certificates,libstdc++6"
"""The agent's interpreter, the bake's, and what an Ollama is linked to."""
DEBOOTSTRAP_SECONDS = 900.0
"""For a slow mirror; a minute where it was tried."""
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def debian() -> Path:
    """Return a small Debian with Python as a tar file, made once and kept in the cache."""
    tar = CACHE / "bookworm.tar"
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


def ollama(binary: str) -> dict[str, Path]:
    """Return the files of an installed Ollama, by where its official image has them."""
    found = Path(binary).resolve()
    return {"/usr/bin/ollama": found, "/usr/lib/ollama": found.parents[1] / "lib" / "ollama"}


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
