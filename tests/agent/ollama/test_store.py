"""Stores, blobs, progress and the image's manifest: what every source and the image's build stand on."""

import json
from pathlib import Path

import pytest

from lab.stores import IMAGE, WEIGHTS, damage, weights_of, write_store
from probe_agent.errors import BlobDamaged, ManifestRefused
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import manifest_path, model_name, read_manifest
from probe_agent.prompt_cache.image_manifest import ImageManifest
from probe_agent.prompt_cache.runner_flags import differences, parse_record
from probe_agent.sources.progress import Progress
from tests.agent.conftest import Clock


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemma3:4b-it-qat", "registry.ollama.ai/library/gemma3/4b-it-qat"),
        ("smollm2", "registry.ollama.ai/library/smollm2/latest"),
        ("me/own:1", "registry.ollama.ai/me/own/1"),
        ("127.0.0.1:5000/me/own", "127.0.0.1:5000/me/own/latest"),
    ],
)
def test_a_name_has_its_place_in_the_store(model: str, path: str) -> None:
    """A model's manifest lies where Ollama looks for it."""
    assert manifest_path(model) == f"manifests/{path}"


@pytest.mark.parametrize("model", ["gemma3:4b-it-qat", "me/own:1", "127.0.0.1:5000/me/own:latest"])
def test_a_place_in_the_store_has_its_name(model: str) -> None:
    """The name is written as short as people write it."""
    assert model_name(manifest_path(model)) == model


@pytest.mark.parametrize("model", ["../../etc/passwd", "a/b/c/d", "", "a b", "m:../x", "..:x"])
def test_a_name_that_leads_out_of_the_store_is_refused(model: str) -> None:
    """What is no model name never becomes a path."""
    with pytest.raises(ManifestRefused):
        manifest_path(model)


def test_a_manifest_names_each_blob_once(tmp_path: Path) -> None:
    """The config and the layers are what a model is made of; its digest is that of the manifest file."""
    manifest = write_store(tmp_path)

    assert manifest.weights is not None
    assert manifest.size_bytes == len(WEIGHTS) + 2
    assert len(manifest.digest) == 64
    assert (tmp_path / manifest.path).read_bytes() == manifest.content


def test_a_model_without_weights_has_none() -> None:
    """A manifest may hold no layer of weights."""
    config = {"mediaType": "x", "digest": f"sha256:{'0' * 64}", "size": 1}

    assert read_manifest("m", json.dumps({"config": config, "layers": []}).encode()).weights is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"config": {"digest": "sha256:../..", "size": 1}, "layers": []}']
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    """A damaged manifest, or one whose digests are no digests, is an error that names the model."""
    with pytest.raises(ManifestRefused, match="model m"):
        read_manifest("m", content)


def test_a_whole_blob_passes_and_is_counted(tmp_path: Path) -> None:
    """Every byte of a good blob is read, and told of."""
    manifest = write_store(tmp_path)
    assert manifest.weights is not None
    read: list[int] = []

    check_blob(weights_of(tmp_path, manifest), manifest.weights, read.append)

    assert sum(read) == len(WEIGHTS)


@pytest.mark.parametrize(
    ("how", "words"), [("flipped", "content"), ("truncated", "bytes, expected"), ("missing", "missing")]
)
def test_a_damaged_blob_is_named(tmp_path: Path, how: str, words: str) -> None:
    """One flipped bit, a missing end or a missing file is an error that names the blob and what is wrong."""
    manifest = write_store(tmp_path)
    assert manifest.weights is not None
    path = weights_of(tmp_path, manifest)
    damage(path, how)

    with pytest.raises(BlobDamaged, match=words) as caught:
        check_blob(path, manifest.weights)

    assert caught.value.blob == manifest.weights.file_name in caught.value.reason


def test_progress_tells_rate_and_time_left(clock: Clock) -> None:
    """What came since the start gives the rate; what was there before does not."""
    progress = Progress(clock)
    progress.expect(1_000)
    progress.resume(500)
    assert progress.snapshot().bytes_per_second is None
    clock.now += 2
    progress.advance(100)

    now = progress.snapshot()

    assert (now.done_bytes, now.resumed_bytes, now.bytes_per_second, now.seconds_left) == (600, 500, 50.0, 8.0)
    assert str(now) == "0 of 0 MB (60%), 0 MB of it were there, 0 MB/s, 8 s left"


def test_a_rate_of_the_first_moment_is_no_forecast(clock: Clock) -> None:
    """In the first second a rate is shown, but no time left: it would be an accident."""
    progress = Progress(clock)
    progress.expect(1_000)
    clock.now += 0.5
    progress.advance(1)

    assert (progress.snapshot().bytes_per_second, progress.snapshot().seconds_left) == (2.0, None)


def test_a_fetch_that_is_over_keeps_its_rate(clock: Clock) -> None:
    """An hour after the end the rate is still that of the fetch, and nothing is left to wait for."""
    progress = Progress(clock)
    progress.expect(1_000)
    clock.now += 2
    progress.advance(500)
    progress.end()
    clock.now += 3600

    assert (progress.snapshot().bytes_per_second, progress.snapshot().seconds_left) == (250.0, None)


def test_progress_without_anything_to_come_says_little() -> None:
    """Nothing expected is no division by zero."""
    progress = Progress()
    progress.expect(0)
    progress.expect(0)

    assert str(progress.snapshot()) == "how much there is to fetch is not known yet"
    progress.reset()
    assert progress.snapshot().total_bytes == 0


def test_the_images_manifest_survives_its_file() -> None:
    """What is written is what is read."""
    assert ImageManifest.read(IMAGE.as_text()) == IMAGE
    assert IMAGE.prompts[0].messages[0]["content"] == "Hello."


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 2}'])
def test_what_is_no_manifest_of_an_image_is_refused(text: str) -> None:
    """A file that is damaged, of another version, or without a field is an error."""
    with pytest.raises(ManifestRefused, match="of the image"):
        ImageManifest.read(text)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("model", {"model": 5}),
        ("num_ctx", {"num_ctx": "2048"}),
        ("num_parallel", {"num_parallel": True}),
        ("blobs", {"blobs": ["sha256-cd"]}),
        ("blobs", {"blobs": {"sha256-cd": None}}),
        ("flags", {"flags": "-c 4096"}),
        ("flags", {"flags": [4096]}),
        ("warmup_prompts", {"warmup_prompts": ["Hello."]}),
        ("prompt_cache", {"prompt_cache": ["0.bin"]}),
        ("file", {"prompt_cache": [{"file": 0, "size_bytes": 3, "prompt": 0, "tokens": 12}]}),
        ("unheard_of", {"unheard_of": 1}),
    ],
)
def test_a_field_of_another_type_is_named(name: str, changed: dict[str, object]) -> None:
    """What would break the agent later, in the middle of a start, is refused with the field's name."""
    with pytest.raises(ManifestRefused, match=name):
        ImageManifest.read(json.dumps({**json.loads(IMAGE.as_text()), **changed}))


def test_a_bad_prompt_in_the_images_manifest_is_refused() -> None:
    """The prompts are read with the file, not when a model waits for them."""
    text = IMAGE.as_text().replace('"messages"', '"massages"')

    with pytest.raises(ManifestRefused, match="massages"):
        ImageManifest.read(text)


def test_a_runners_record_is_options_with_their_values() -> None:
    """Variables come first, then options; a negative number is a value."""
    lines = ["LLAMA_ARG_SWA_FULL=1", "stray", "-ngl", "-1", "--offline", "-c", "8192"]

    assert parse_record(lines) == {"LLAMA_ARG_SWA_FULL": "1", "-ngl": "-1", "--offline": "", "-c": "8192"}
    assert parse_record([]) == {}


@pytest.mark.parametrize("option", ["--mmproj", "--lora", "--spec-draft-model"])
def test_a_blob_is_told_by_its_name(option: str) -> None:
    """A vision model's projector lies in another folder at build; another projector is a difference."""
    built = [option, "/build/store/blobs/sha256-aa"]

    assert differences(built, [option, "/models/blobs/sha256-aa"]) == ()
    assert differences(built, [option, "/models/blobs/sha256-bb"]) == (f"{option} sha256-aa at build, sha256-bb now",)


def test_only_flags_that_shape_the_cache_must_agree() -> None:
    """Port, placement and logging may differ; context, cache type and variables that shape the state may not."""
    built = ["LLAMA_ARG_SWA_FULL=1", "--port", "1", "-c", "8192", "--cache-type-k", "q8_0"]

    assert differences(built, ["LLAMA_ARG_SWA_FULL=1", "--port", "2", "-ngl", "99", *built[3:]]) == ()
    assert differences([*built, "-b", "512", "-ub", "512"], [*built, "-b", "2048", "--no-mmproj-offload"]) == ()
    assert differences(built, ["-c", "4096", "--cache-type-k", "q8_0"]) == (
        "-c 8192 at build, 4096 now",
        "LLAMA_ARG_SWA_FULL 1 at build, unset now",
    )
