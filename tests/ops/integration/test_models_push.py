"""`ops models push`: to a bucket in parts, checked, resumed, never half visible, and what the agent then downloads."""

import asyncio
import gc
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from lab.buckets import BUCKET
from lab.emulator import Emulator
from lab.stores import WEIGHTS, damage, weights_of, write_store
from ops.__main__ import main
from ops.models import display, local, upload
from ops.models.display import Display
from probe_agent.ollama.store import StoreManifest
from probe_agent.sources.gcs import ASIDE, GcsSource

# Of a connection that breaks off the library leaves its socket to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PART = 1000
URL = f"gs://{BUCKET}/p"
PARTS = -(-len(WEIGHTS) // PART)
# The command as a process of its own, with small parts: what a signal does is the system's business, too.
COMMAND = f"import sys; from ops.models import upload; upload.PART_BYTES = {PART}; \
from ops.__main__ import main; sys.exit(main(sys.argv[1:]))"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A local store that holds model `m`; its weights are 33 parts, one more than `compose` takes."""
    write_store(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def manifest(store: Path) -> StoreManifest:
    """The manifest of `m`."""
    return write_store(store)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """An empty bucket; parts are small, and nothing is tried again for long."""
    monkeypatch.setattr(upload, "PART_BYTES", PART)
    monkeypatch.setattr(upload, "RETRY_SECONDS", 0.2)
    # The library would ask for the bucket in a thread of its own.
    cache = "google.cloud.storage._bucket_metadata_cache.BucketMetadataCache"
    monkeypatch.setattr(f"{cache}.get_or_queue_fetch", lambda _cache, _bucket: None)
    with Emulator() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server
    gc.collect()


def push(store: Path, model: str = "m", url: str = URL) -> int:
    """Run the command here; returns its exit status."""
    return main(["models", "push", model, url, "--store", str(store)])


def names(manifest: StoreManifest) -> set[str]:
    """Return what the bucket holds after a push, and nothing else."""
    return {f"p/{path}" for path in (manifest.path, *(blob.path for blob in manifest.blobs))}


def weights_name(manifest: StoreManifest) -> str:
    """Return the object of the weights."""
    assert manifest.weights is not None
    return f"p/{manifest.weights.path}"


def files(folder: Path) -> dict[str, bytes]:
    """Return every file of a store, but for what a download leaves aside."""
    found = (path for path in folder.rglob("*") if path.is_file() and ASIDE not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_what_is_pushed_is_what_the_agent_downloads(
    bucket: Emulator, store: Path, manifest: StoreManifest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """There and back again through the bucket that the last line names: the same store, byte for byte."""
    assert push(store) == 0
    found = re.search(r"PROBE_AGENT_MODEL_BUCKET=(\S+)", capfd.readouterr().out)
    assert found

    asyncio.run(GcsSource(found[1], tmp_path / "volume").fetch(("m",)))

    assert files(tmp_path / "volume") == files(store)
    assert bucket.names() == names(manifest)


@pytest.mark.parametrize("parts", [1, 32, 33, 1025])
def test_any_number_of_parts_is_joined(bucket: Emulator, tmp_path: Path, parts: int) -> None:
    """More parts than one call takes are joined in levels; nothing of them is left."""
    # Of one part: sent as it is. Up to 32: one call. 33: a full group, one left over, the whole. 1025: a level more.
    calls = {1: 0, 32: 1, 33: 2, 1025: 34}
    size = 40
    upload.PART_BYTES = size  # the fixture puts back what was there
    manifest = write_store(tmp_path / "large", weights=os.urandom(size * parts - 1))

    assert push(tmp_path / "large") == 0

    assert hashlib.sha256(bucket.content(weights_name(manifest))).hexdigest() in weights_name(manifest)
    assert len(bucket.composed) == calls[parts]
    assert bucket.names() == names(manifest)


def test_the_manifest_is_last_and_blobs_appear_whole(bucket: Emulator, store: Path, manifest: StoreManifest) -> None:
    """When the manifest is written every blob is there; when a part is written the blob's name holds nothing."""
    seen: dict[str, set[str]] = {}
    bucket.before = lambda name: seen.setdefault(name, bucket.names())

    assert push(store) == 0

    assert bucket.sent[-1] == (f"p/{manifest.path}", len(manifest.content))
    assert seen[f"p/{manifest.path}"] == names(manifest) - {f"p/{manifest.path}"}
    parts = [name for name in seen if f"/{upload.ASIDE}/" in name]
    assert len(parts) > PARTS
    assert all(weights_name(manifest) not in seen[name] for name in parts)


def test_a_second_push_sends_nothing(
    bucket: Emulator, store: Path, manifest: StoreManifest, capfd: pytest.CaptureFixture[str]
) -> None:
    """What is there with the same size and checksum is skipped, and told so."""
    assert push(store) == 0
    bucket.sent.clear()
    capfd.readouterr()

    assert push(store) == 0

    assert bucket.sent == []
    total = manifest.size_bytes + len(manifest.content)
    assert f"sent 0 bytes, skipped {total:,} that were there" in capfd.readouterr().out


def test_an_interrupted_push_goes_on(bucket: Emulator, store: Path, manifest: StoreManifest) -> None:
    """Ctrl-C in the middle of a blob: 130 at once, nothing visible; the next run sends only what is missing."""
    reached, let_go = threading.Event(), threading.Event()

    def halt(_name: str) -> None:
        if len(bucket.sent) == PARTS // 2:
            reached.set()
            let_go.wait(20)

    bucket.before = halt
    command = [sys.executable, "-c", COMMAND, "models", "push", "m", URL, "--store", str(store)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert reached.wait(20)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)  # while the server holds its answer back

    assert process.returncode == 130
    assert told == "ops models push: interrupted; the same command goes on from here\n"
    assert not bucket.names() & {weights_name(manifest), f"p/{manifest.path}"}

    let_go.set()
    bucket.before = lambda _: None
    assert push(store) == 0

    sent = [name for name, _ in bucket.sent]
    assert sorted(sent) == sorted(set(sent))
    assert sum(size for _, size in bucket.sent) == manifest.size_bytes + len(manifest.content)
    assert bucket.names() == names(manifest)


@pytest.mark.parametrize("how", ["flipped", "truncated", "missing"])
def test_a_damaged_blob_is_named_and_nothing_sent(
    bucket: Emulator, store: Path, manifest: StoreManifest, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not even the blobs that are in order leave the machine."""
    damage(weights_of(store, manifest), how)

    assert push(store) == 1

    assert weights_of(store, manifest).name in capfd.readouterr().err
    assert bucket.sent == []


@pytest.mark.parametrize(
    ("status", "words"),
    [(403, "roles/storage.objectUser"), (401, "application-default login"), (503, "the same command goes on")],
)
def test_a_refusal_says_what_to_do(
    bucket: Emulator, store: Path, status: int, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """No permission, an outage: each has its own line."""
    bucket.status = status

    assert push(store) == 1

    error = capfd.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_missing_bucket_is_told(bucket: Emulator, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the command that makes it."""
    assert push(store, url="gs://nowhere/p") == 1

    assert "no such bucket; correct the name, or: gcloud storage buckets create gs://nowhere" in capfd.readouterr().err
    assert bucket.sent == []


def test_nobody_there_and_no_credentials_are_told(
    store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a way to the service, and without a right to go it."""
    monkeypatch.setattr(upload, "RETRY_SECONDS", 0.2)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    assert push(store) == 1
    assert "the upload broke off" in capfd.readouterr().err

    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(store / "absent.json"))
    assert push(store) == 1
    assert "gcloud auth application-default login" in capfd.readouterr().err


@pytest.mark.parametrize("url", ["s3://some-bucket/p", "some-bucket/p", "gs://", "gs://some-bucket//p"])
def test_what_is_no_bucket_is_a_wrong_argument(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What the agent would refuse is refused here."""
    with pytest.raises(SystemExit) as caught:
        main(["models", "push", "m", url])

    assert caught.value.code == 2
    assert "expected gs://BUCKET/PREFIX" in capfd.readouterr().err


@pytest.mark.parametrize("model", ["absent", "../m", "a/b/c/d"])
def test_an_unknown_model_lists_those_that_are_there(
    store: Path, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the names that people give them."""
    write_store(store, "gemma3:4b")
    write_store(store, "someone/theirs")
    write_store(store, "hf.co/someone/theirs:Q4")

    assert push(store, model) == 2

    there = "gemma3:4b, hf.co/someone/theirs:Q4, m:latest, someone/theirs:latest;"
    assert f"models there: {there}" in capfd.readouterr().err


def test_a_manifest_that_is_none_is_told(
    store: Path, manifest: StoreManifest, capfd: pytest.CaptureFixture[str]
) -> None:
    """A store whose manifest is damaged needs the model anew."""
    (store / manifest.path).write_bytes(b"{")

    assert push(store) == 1

    assert "pull it again: ollama pull m" in capfd.readouterr().err


def test_stores_are_looked_through_in_order(tmp_path: Path) -> None:
    """The default store comes first, then what `ops up` has made."""
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    prepared = tmp_path / "probe-agent" / "ollama-smollm2-1.0-8192"
    write_store(prepared, "smollm2")
    (prepared.parent / f"{prepared.name}.lock").touch()

    assert local.stores(environ) == [Path.home() / ".ollama" / "models", prepared]
    assert local.find("smollm2", local.stores(environ)).store == prepared


def test_the_store_that_is_named_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With OLLAMA_MODELS nothing else is sent in its model's place, and one that is no folder is told as such."""
    write_store(tmp_path / "probe-agent" / "ollama-smollm2-1.0-8192", "smollm2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "own"))

    assert main(["models", "push", "smollm2", URL]) == 2
    assert f"no store at {tmp_path / 'own'}" in capfd.readouterr().err
    (tmp_path / "own").mkdir()
    assert main(["models", "push", "smollm2", URL]) == 2
    assert "models there: none" in capfd.readouterr().err


def test_another_push_that_is_quicker_does_no_harm(
    bucket: Emulator, store: Path, manifest: StoreManifest, capfd: pytest.CaptureFixture[str]
) -> None:
    """What it has put there is the same by its name: a part, a joined part, a blob, the manifest."""
    contents = {f"p/{path}": content for path, content in files(store).items()}

    def meanwhile(name: str) -> None:
        bucket.before = lambda _: None
        _, _, place = name.rpartition("/")
        if f"/{upload.ASIDE}/" in name:
            start, _, size = place.partition("+")
            bucket.put(name, WEIGHTS[int(start) :][: int(size)])
        else:
            bucket.put(name, contents[name])
        bucket.before = meanwhile

    bucket.before = meanwhile

    assert push(store) == 0

    assert "sent 0 bytes" in capfd.readouterr().out
    assert {name: bucket.content(name) for name in bucket.names()} == contents


@pytest.mark.parametrize("which", ["weights", "manifest"])
def test_another_push_of_other_content_is_told(
    bucket: Emulator, store: Path, manifest: StoreManifest, which: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """What appeared under a name since it was looked at is not overwritten; the next run sees it, and does."""
    name = weights_name(manifest) if which == "weights" else f"p/{manifest.path}"

    def meanwhile(writes: str) -> None:
        if writes == name:
            bucket.put(name, b"other")

    bucket.before = meanwhile
    assert push(store) == 1
    assert bucket.content(name) == b"other"
    assert "run the same command again" in capfd.readouterr().err

    bucket.before = lambda _: None
    assert push(store) == 0
    assert bucket.content(name) == (store / name.removeprefix("p/")).read_bytes()
    assert bucket.names() == names(manifest)


def test_wrong_parts_and_blobs_are_replaced(bucket: Emulator, store: Path, manifest: StoreManifest) -> None:
    """An object of the right name and size but of other content does not count as there."""
    part = f"p/{upload.ASIDE}/{weights_name(manifest).rpartition('/')[2]}/0+{PART}"
    for name, size in ((weights_name(manifest), len(WEIGHTS)), (part, PART)):
        bucket.put(name, b"x" * size)

    assert push(store) == 0

    assert bucket.content(weights_name(manifest)) == WEIGHTS
    assert part in dict(bucket.sent)
    assert bucket.names() == names(manifest)


def test_a_wrong_joined_part_does_not_stay(bucket: Emulator, store: Path, manifest: StoreManifest) -> None:
    """Its name alone vouches for it: the whole blob's checksum tells, no manifest names it, the next run mends."""
    size = upload.MAX_SOURCES * PART
    bucket.put(f"p/{upload.ASIDE}/{weights_name(manifest).rpartition('/')[2]}/0+{size}", b"x" * size)

    assert push(store) == 1
    assert f"p/{manifest.path}" not in bucket.names()

    assert push(store) == 0
    assert bucket.content(weights_name(manifest)) == WEIGHTS
    assert bucket.names() == names(manifest)


@pytest.mark.parametrize("size", [PART // 2, PART * 3])
def test_a_file_that_changes_after_the_check_is_found_out(
    bucket: Emulator, tmp_path: Path, size: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """What was checked is what must arrive; else there is no manifest."""
    manifest = write_store(tmp_path, weights=os.urandom(size))

    def change(_name: str) -> None:
        bucket.before = lambda _: None
        (tmp_path / manifest.blobs[0].path).write_bytes(b"[]")

    bucket.before = change

    assert push(tmp_path) == 1

    assert "run the same command again" in capfd.readouterr().err
    assert f"p/{manifest.path}" not in bucket.names()


def test_plain_output_has_a_line_now_and_then(
    bucket: Emulator, store: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where there is no terminal, each line is whole and without control characters."""
    monkeypatch.setattr(display, "LINE_SECONDS", 0.01)

    assert push(store) == 0

    out = capfd.readouterr().out
    assert re.search(r"^sending \d+ of \d+ MB", out, re.MULTILINE)
    assert "\x1b" not in out


def test_the_bar_fits_a_terminal_of_eighty_columns() -> None:
    """With the largest figures that a model has."""
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    with Display(console) as shown:
        progress = shown.stage("checking")
        progress.expect(123_456_000_000)
        progress.advance(98_765_000_000)
        with console.capture() as captured:
            console.print(shown)

    (line,) = captured.get().splitlines()
    assert re.search(r"^checking ━+.* 98,765 of 123,456 MB \(80%\), \d+ MB/s", line)
    assert len(line) <= 80
