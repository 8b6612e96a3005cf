"""The build's step: what it lays out, what it refuses, and how it says so."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from lab.images.tree import IMAGE, ROOT, bake, install, tree
from lab.servers import REAL_OLLAMA
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import BlobRef, manifest_path, read_manifest
from probe_agent.prompt_cache.image_manifest import ImageManifest
from tests.image.conftest import Baked


def test_the_manifest_describes_what_lies_in_the_store(baked: Baked) -> None:
    """manifest.json names the served model, its digest, its blobs, the flags and the saved prompts."""
    image = ImageManifest.read((baked.models / "manifest.json").read_text())
    model = read_manifest(image.model, (baked.models / manifest_path(image.model)).read_bytes())
    assert (image.model, image.quantization, image.num_ctx) == ("served:one", "Q4_1", 2048)
    assert image.trained_context == 8192
    assert image.digest == model.digest
    assert image.blobs == {blob.file_name: blob.size_bytes for blob in model.blobs}
    assert "--flash-attn" in image.flags
    assert "LLAMA_ARG_SWA_FULL=1" in image.flags
    (cache,) = image.prompt_cache
    assert cache.tokens > 900
    saved = BlobRef(cache.file.removeprefix("sha256-"), cache.size_bytes, "prompt cache")
    check_blob(baked.models / "prompt-cache" / cache.file, saved)
    listed = {"prompt-cache/" + cache.file: cache.size_bytes} | {blob.path: blob.size_bytes for blob in model.blobs}
    lines = (line.split() for line in (baked.models / "blobs.txt").read_text().splitlines())
    assert {path: int(size) for size, path in lines} == listed
    for blob in model.blobs:
        check_blob(baked.models / blob.path, blob)


def test_the_dockerfile_copies_what_the_bake_imports() -> None:
    """Nothing is missing in the builder, and no other file of the agent makes the layer of the weights anew."""
    package = ROOT / "probe-agent" / "src" / "probe_agent"
    loaded = "print(*(m.__file__ for n, m in sys.modules.items() if n.partition('.')[0] == 'probe_agent'), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys, bake.__main__; {loaded}"],
        env={**os.environ, "PYTHONPATH": f"{package.parent}:{IMAGE}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    copied = re.findall(r"probe-agent/src/(\S+)", (IMAGE / "Dockerfile").read_text())
    assert sorted(copied) == sorted(str(Path(file).relative_to(package.parent)) for file in done.stdout.split())


def test_only_the_served_model_is_laid_out(baked: Baked) -> None:
    """The imported file and the model before pinning stay behind."""
    image = ImageManifest.read((baked.models / "manifest.json").read_text())
    assert {path.name for path in (baked.models / "blobs").iterdir()} == set(image.blobs)
    manifests = [path for path in (baked.models / "manifests").rglob("*") if path.is_file()]
    assert [path.name for path in manifests] == ["one"]
    assert not baked.out.with_name("out-work").exists()


def test_the_weights_layer_is_the_same_after_another_build(baked: Baked, gguf: Path, tmp_path: Path) -> None:
    """Names, modes, owners, times and contents stay the same with another context and no cache."""
    done = bake(tmp_path / "out", gguf, baked.ollama, {"NUM_CTX": "1024", "PROMPT_CACHE": "0"})
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "out" / "model") == tree(baked.out / "model")
    image = ImageManifest.read((tmp_path / "out" / "rest" / "models" / "manifest.json").read_text())
    assert (image.prompt_cache, image.flags) == ((), ())


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".pkl"])
def test_a_pickle_is_refused(tmp_path: Path, suffix: str) -> None:
    """A format that can run code does not get as far as a server."""
    source = tmp_path / f"weights{suffix}"
    source.write_bytes(b"\x80\x02}q\x00.")
    done = bake(tmp_path / "out", source, tmp_path / "no-ollama")
    assert done.returncode == 1
    assert done.stderr == (
        f"bake: import: weights{suffix}: refused: a pickle runs code when it is loaded; "
        "give safetensors or GGUF alone\n"
    )


def test_a_pickle_beside_safetensors_is_refused(tmp_path: Path) -> None:
    """A folder is only as safe as its worst file."""
    source = tmp_path / "model"
    source.mkdir()
    (source / "model.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    (source / "pytorch_model.bin").write_bytes(b"\x80\x02")
    done = bake(tmp_path / "out", source, tmp_path / "no-ollama")
    assert (done.returncode, "pytorch_model.bin: refused" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.gguf", b"<!DOCTYPE html>", "not those of GGUF"),
        ("folder/config.json", b"{}", "a folder without *.safetensors"),
        ("folder/model.safetensors", b"version https://git-lfs", "header is not that of safetensors"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    """A page of an error, or a pointer to large files, is found out before it is imported."""
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    source = file if file.parent == tmp_path else file.parent
    done = bake(tmp_path / "out", source, tmp_path / "no-ollama")
    assert (done.returncode, why in done.stderr) == (1, True), done.stderr


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({"NUM_CTX": "many"}, "bake: settings: NUM_CTX=many: expected a whole number from 1"),
        ({"ALLOW_WIDER": "yes"}, "bake: settings: ALLOW_WIDER=yes: expected 0 or 1"),
        ({"MODEL": "../up"}, "bake: settings: MODEL=../up: "),
        ({"SOURCE": "absent.gguf"}, "bake: settings: SOURCE=absent.gguf: no such file"),
        ({"SOURCE": "../absent"}, "bake: settings: SOURCE=../absent: it leads out of"),
        ({"SOURCE": "", "QUANTIZE": "q4_K_M"}, "bake: settings: QUANTIZE=q4_K_M: only an import is quantized"),
        ({"KV_CACHE_TYPE": "q2"}, "bake: settings: KV_CACHE_TYPE=q2: expected one of f16, q8_0, q4_0"),
        ({"FLASH_ATTENTION": "0"}, "bake: settings: KV_CACHE_TYPE=q8_0: a quantized cache needs FLASH_ATTENTION=1"),
        ({"WARMUP": "/dev/null"}, "bake: settings: WARMUP=/dev/null: holds no prompt"),
    ],
)
def test_a_bad_build_argument_is_named(tmp_path: Path, gguf: Path, environ: dict[str, str], line: str) -> None:
    """The one line says which, what is expected, and ends the build."""
    done = bake(tmp_path / "out", gguf, tmp_path / "no-ollama", environ)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_missing_ollama_is_named(tmp_path: Path, gguf: Path) -> None:
    """The step ends at once when its server cannot be started."""
    done = bake(tmp_path / "out", gguf, tmp_path / "no-ollama")
    assert done.returncode == 1
    assert done.stderr.startswith("bake: ollama: start: ")


@pytest.mark.usefixtures("ollama")
def test_a_runner_that_saves_no_slot_is_told(tmp_path: Path, gguf: Path) -> None:
    """What the runner refuses comes with the way out; without --slot-save-path it answers 501, as older ones did."""
    assert REAL_OLLAMA is not None
    refusing = install(tmp_path / "installed", REAL_OLLAMA)
    wrapper = refusing.parents[1] / "lib" / "ollama" / "llama-server"
    wrapper.write_text(wrapper.read_text().replace(' --slot-save-path "$cache"', ""))
    done = bake(tmp_path / "out", gguf, refusing)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("bake: runner: prompt cache 0: 501 "), done.stderr
    assert last.endswith("; set PROMPT_CACHE=0")


def test_a_context_above_the_trained_one_is_refused(tmp_path: Path, gguf: Path, ollama: Path) -> None:
    """Ollama would cut it to the trained length without a word."""
    done = bake(tmp_path / "out", gguf, ollama, {"NUM_CTX": "16384"})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "bake: model: context: NUM_CTX=16,384 is longer than the 8,192 tokens that the model was trained for; "
        "set NUM_CTX to at most 8192"
    )
    assert not (tmp_path / "out").exists()


def test_more_than_four_bits_are_refused_unless_allowed(
    tmp_path: Path, gguf: Path, ollama: Path, wide_gguf: Path
) -> None:
    """Q8_0 needs ALLOW_WIDER=1."""
    done = bake(tmp_path / "out", wide_gguf, ollama)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("bake: model: width: its quantization is Q8_0, wider than 4 bits; ")
    assert bake(tmp_path / "out", wide_gguf, ollama, {"ALLOW_WIDER": "1", "PROMPT_CACHE": "0"}).returncode == 0


@pytest.fixture
def wide_gguf(tmp_path: Path, gguf: Path, ollama: Path) -> Path:
    """The small model in eight bits."""
    target = tmp_path / "wide.gguf"
    tool = ollama.parents[1] / "lib" / "ollama" / "llama-quantize"
    if not shutil.which(tool):
        pytest.skip("no llama-quantize beside the real Ollama")
    subprocess.run([tool, "--allow-requantize", gguf, target, "Q8_0"], check=True, capture_output=True, timeout=50)
    return target
