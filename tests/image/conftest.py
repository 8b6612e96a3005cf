"""The image without a container engine: the same scripts, as processes, around a real Ollama."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.images.tree import ASKED, assemble, bake, install
from lab.registry import Registry, write_certificate
from lab.servers import REAL_OLLAMA
from ops import smollm2

NO_OLLAMA = "no real Ollama with a llama-server of its own: set OLLAMA_BIN"


class Baked(NamedTuple):
    """An image's content: the binary, the build's output, and the store put together from it."""

    ollama: Path
    out: Path
    models: Path
    said: str


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that another user may enter, as pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="image-"))
    path.chmod(0o755)
    yield path
    for each in path.rglob("*"):
        if each.is_dir() and not each.is_symlink():
            each.chmod(0o755)
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def ollama(folder: Path) -> Path:
    """The real Ollama with the wrapper in place of its llama-server."""
    if REAL_OLLAMA is None or not (Path(REAL_OLLAMA).resolve().parents[1] / "lib" / "ollama" / "llama-server").exists():
        pytest.skip(NO_OLLAMA)
    return install(folder / "installed", REAL_OLLAMA)


@pytest.fixture(scope="session")
def gguf() -> Path:
    """The small model's file."""
    return smollm2.gguf_path()


@pytest.fixture(scope="session")
def baked(folder: Path, ollama: Path, gguf: Path) -> Baked:
    """The small model, baked once with a warm-up prompt of 1,000 tokens."""
    warmup = folder / "warmup.jsonl"
    warmup.write_text(json.dumps({"messages": ASKED}) + "\n")
    done = bake(folder / "out", gguf, ollama, {"WARMUP": str(warmup)})
    assert done.returncode == 0, done.stderr
    return Baked(ollama, folder / "out", assemble(folder / "out", folder / "models"), done.stdout)


@pytest.fixture(scope="session")
def certificate(folder: Path) -> Path:
    """The registry's, which only those trust who are told of it."""
    return write_certificate(folder)


@pytest.fixture
def registry(baked: Baked, certificate: Path) -> Iterator[Registry]:
    """It has the baked model, as library/served:one."""
    registry = Registry(baked.models, certificate)
    with registry:
        yield registry
