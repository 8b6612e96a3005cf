"""Imports that Ollama converts or quantizes: safetensors, and GGUF of 16 bits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab.images.tree import Entrypoint, assemble, bake
from lab.tiny_model import CONTEXT, write_tiny_model
from probe_agent.prompt_cache.image_manifest import ImageManifest

TO_FOUR_BITS = {"QUANTIZE": "q4_K_M"}


@pytest.fixture(scope="module")
def safetensors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's folder."""
    return write_tiny_model(tmp_path_factory.mktemp("import") / "tiny")


@pytest.fixture(scope="module")
def quantized(folder: Path, safetensors: Path, ollama: Path) -> Path:
    """What the build laid out of the folder, in four bits."""
    out = folder / "quantized"
    done = bake(out, safetensors, ollama, TO_FOUR_BITS)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def wide(folder: Path, safetensors: Path, ollama: Path) -> Path:
    """What the build laid out of the folder as it is."""
    out = folder / "wide"
    done = bake(out, safetensors, ollama, {"ALLOW_WIDER": "1", "PROMPT_CACHE": "0"})
    assert done.returncode == 0, done.stderr
    return out


def image_of(out: Path) -> ImageManifest:
    """Read what the build tells of its image."""
    return ImageManifest.read((out / "rest" / "models" / "manifest.json").read_text())


def weights_of(out: Path) -> Path:
    """Return the file of the weights."""
    (weights,) = (out / "model" / "models" / "blobs").iterdir()
    return weights


def test_safetensors_are_converted_and_quantized(quantized: Path) -> None:
    """The image holds four bits and no other weights, with the context that the folder's config.json tells."""
    image = image_of(quantized)
    assert (image.format, image.quantization, image.trained_context) == ("gguf", "Q4_K_M", CONTEXT)
    assert weights_of(quantized).read_bytes().startswith(b"GGUF")


def test_a_converted_model_answers(quantized: Path, folder: Path, ollama: Path) -> None:
    """The container loads what was laid out, and it generates."""
    home = folder / "home-converted"
    with Entrypoint(home, assemble(quantized, folder / "models-converted"), ollama) as container:
        container.load()
        assert container.chat([{"role": "user", "content": "Hello."}])["eval_count"] == 1


def test_safetensors_of_sixteen_bits_are_refused_unless_allowed(
    wide: Path, safetensors: Path, ollama: Path, tmp_path: Path
) -> None:
    """Without QUANTIZE they stay as wide as they are: ALLOW_WIDER=1 lets them in."""
    done = bake(tmp_path / "out", safetensors, ollama)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bake: model: width: its quantization is F16, wider than 4 bits; ")
    assert image_of(wide).quantization == "F16"


def test_a_gguf_of_sixteen_bits_is_quantized(wide: Path, quantized: Path, ollama: Path, tmp_path: Path) -> None:
    """It becomes the same weights, to the byte, as the safetensors that it was made of."""
    file = tmp_path / "tiny.gguf"
    shutil.copy(weights_of(wide), file)
    done = bake(tmp_path / "out", file, ollama, TO_FOUR_BITS)
    assert done.returncode == 0, done.stderr
    assert image_of(tmp_path / "out").digest == image_of(quantized).digest


def test_what_is_quantized_already_is_not_quantized_again(gguf: Path, ollama: Path, tmp_path: Path) -> None:
    """Ollama refuses it, and the line says what to do instead."""
    done = bake(tmp_path / "out", gguf, ollama, TO_FOUR_BITS)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"bake: ollama: import {gguf.name} as q4_K_M: quantization is only supported for F16, BF16 and F32 models; "
        "set QUANTIZE=q4_K_M (or q4_K_S) for weights of 16 or 32 bits, and leave it out for others"
    )


def test_a_quantization_that_ollama_does_not_know_is_named(safetensors: Path, ollama: Path, tmp_path: Path) -> None:
    """The line has Ollama's list of what it knows."""
    done = bake(tmp_path / "out", safetensors, ollama, {"QUANTIZE": "q3_K_M"})
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith("bake: ollama: import tiny as q3_K_M: unsupported quantization type Q3_K_M - supported ")
    assert "Q4_K_M" in line
