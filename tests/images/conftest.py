"""Both images, built once from this tree: `make test-images`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lab.images import agent_image, bases
from lab.images.buildah import Buildah
from lab.images.tree import ASKED
from lab.servers import REAL_OLLAMA
from ops import smollm2

MODEL, NUM_CTX = "served:one", 2048


class Built(NamedTuple):
    """An image in a storage of buildah's."""

    buildah: Buildah
    name: str

    def container(self) -> str:
        """Make a container of it; returns its name."""
        return self.buildah.container(self.name)


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder that another user may enter, as pytest's own are not."""
    with agent_image.folder() as path:
        yield path


@pytest.fixture(scope="session")
def buildah(folder: Path) -> Iterator[Buildah]:
    """A storage of images."""
    if not agent_image.can_build():
        pytest.skip(agent_image.NEEDS)
    with agent_image.storage(folder) as storage:
        yield storage


@pytest.fixture(scope="session")
def context(folder: Path) -> Path:
    """What is sent to a build: this tree's files that git knows, a model to import, and a warm-up prompt."""
    path = folder / "context"
    agent_image.copy_tree(path)
    shutil.copy(smollm2.gguf_path(), path / "ollama-image/import/model.gguf")
    (path / "ollama-image/import/warmup.jsonl").write_text(json.dumps({"messages": ASKED}) + "\n")
    return path


@pytest.fixture(scope="session")
def debian(buildah: Buildah) -> str:
    """The base of the agent's image."""
    return buildah.base("debian", bases.debian())


@pytest.fixture(scope="session")
def agent(buildah: Buildah, debian: str, context: Path, folder: Path) -> Built:
    """The agent's image."""
    return Built(buildah, agent_image.build(buildah, debian, context, folder))


# Whether there is a real Ollama of the kind that the Dockerfile is for; else the stand-in takes its place.
HAS_RUNNER = REAL_OLLAMA is not None and (bases.libraries(REAL_OLLAMA) / "llama-server").exists()


@pytest.fixture(scope="session")
def ollama_base(buildah: Buildah, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ollama, or the stand-in, where the official image has it."""
    if REAL_OLLAMA is not None and HAS_RUNNER:
        return bases.ollama(buildah, REAL_OLLAMA)
    return bases.standin(buildah, tmp_path_factory.mktemp("standin"))


def build_ollama(buildah: Buildah, base: str, context: Path, name: str) -> Built:
    """Build the Ollama image with the small model in it; the stand-in knows no slots, and so no prompt cache."""
    arguments = {
        "OLLAMA_IMAGE": base,
        "MODEL": MODEL,
        "SOURCE": "model.gguf",
        "NUM_CTX": str(NUM_CTX),
        "NUM_PARALLEL": "2",
        "PROMPT_CACHE": str(int(HAS_RUNNER)),
        "WARMUP": "/import/warmup.jsonl",
    }
    return Built(buildah, buildah.build(name, context, "ollama-image/Dockerfile", arguments))


@pytest.fixture(scope="session")
def ollama(buildah: Buildah, ollama_base: str, context: Path) -> Built:
    """The Ollama image with the small model in it."""
    return build_ollama(buildah, ollama_base, context, "ollama")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines what stood for Ollama."""
    who = (
        f"a real Ollama ({REAL_OLLAMA})" if HAS_RUNNER else "the stand-in: there is no Ollama with a llama-server here"
    )
    terminalreporter.write_line(f"images: built on {who}")
