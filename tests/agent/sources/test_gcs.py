"""Models from Cloud Storage: downloaded in parts, checked, resumed, and never half visible."""

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import google.auth
import pytest
from google.auth.credentials import Credentials

from lab.agent import Agent, AgentProcess
from lab.buckets import BUCKET, BucketServer
from lab.scripted import Ollama
from lab.servers import closed_port
from lab.stores import WEIGHTS, damage, weights_of, write_store
from probe_agent.errors import BlobDamaged, SourceError
from probe_agent.ollama.store import read_manifest
from probe_agent.sources import gcs
from probe_agent.sources.gcs import GcsSource
from probe_agent.sources.parts import PartedFile
from tests.agent.conftest import Answer

pytestmark = pytest.mark.anyio
PART = 5000


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketServer]:
    """A bucket that holds model `m` under the prefix `p`; parts are small, and nothing is tried again for long."""
    write_store(tmp_path / "bucket" / "p")
    monkeypatch.setattr(gcs, "PART_BYTES", PART)
    monkeypatch.setattr(gcs, "PAUSES", (0.0,))
    with BucketServer(tmp_path / "bucket") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The volume that is downloaded into."""
    return tmp_path / "store"


def source(store: Path, url: str = f"gs://{BUCKET}/p") -> GcsSource:
    """Make a source."""
    return GcsSource(url, store)


def visible(store: Path) -> set[str]:
    """Return what Ollama would see: every file outside the folder for what is under way."""
    files = (path for path in store.rglob("*") if path.is_file())
    return {str(path.relative_to(store)) for path in files if gcs.ASIDE not in path.parts}


async def test_a_model_arrives_whole_in_parts(bucket: BucketServer, store: Path) -> None:
    """Every blob comes in ranges, is checked, and lies where Ollama looks; nothing is left aside."""
    manifest = write_store(bucket.folder / "p")
    one = source(store)

    await one.fetch(("m",))

    assert visible(store) == {manifest.path, *(blob.path for blob in manifest.blobs)}
    assert weights_of(store, manifest).read_bytes() == WEIGHTS
    assert list((store / gcs.ASIDE).iterdir()) == []
    assert bucket.asked.count(f"p/{manifest.weights.path if manifest.weights else ''}") == -(-len(WEIGHTS) // PART)
    assert one.progress.snapshot().done_bytes == manifest.size_bytes


async def test_what_was_begun_for_another_model_is_removed(bucket: BucketServer, store: Path) -> None:
    """Half a blob that the bucket's manifest no longer names would take the volume's room for good."""
    write_store(bucket.folder / "p")
    aside = store / gcs.ASIDE
    aside.mkdir(parents=True)
    (aside / "sha256-old").write_bytes(b"half")
    (aside / "sha256-old.parts").write_text("0-3\n")

    await source(store).fetch(("m",))

    assert list(aside.iterdir()) == []


async def test_what_is_there_is_checked_and_not_fetched_again(bucket: BucketServer, store: Path) -> None:
    """A second start on the same volume only reads it, from a bucket without a prefix as well."""
    manifest = write_store(bucket.folder)
    await source(store, f"gs://{BUCKET}").fetch(("m",))
    bucket.asked.clear()
    again = source(store, f"gs://{BUCKET}")

    await again.fetch(("m",))

    assert bucket.asked == [manifest.path]
    assert again.progress.snapshot().resumed_bytes == manifest.size_bytes


async def test_an_interrupted_download_goes_on(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled in the middle it leaves nothing visible; begun anew it fetches only the parts that are missing."""
    part = PART // 5  # more of them than workers: those under way when it is cancelled may still come
    monkeypatch.setattr(gcs, "PART_BYTES", part)
    manifest = write_store(bucket.folder / "p")
    name = f"p/{manifest.weights.path if manifest.weights else ''}"
    reached, let_go = threading.Event(), threading.Event()

    def halt(asked: str) -> None:
        if bucket.asked.count(name) > 3 and asked == name:
            reached.set()
            let_go.wait(10)

    bucket.halt = halt
    task = asyncio.create_task(source(store).fetch(("m",)))
    journal = store / gcs.ASIDE / f"{Path(name).name}.parts"
    await asyncio.to_thread(reached.wait, 10)
    async with asyncio.timeout(10):
        while not journal.read_text():  # noqa: ASYNC110 — a file has no event
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    let_go.set()
    assert manifest.path not in visible(store)
    assert f"blobs/{Path(name).name}" not in visible(store)
    bucket.halt = lambda _: None
    bucket.asked.clear()
    again = source(store)

    await again.fetch(("m",))

    assert 0 < bucket.asked.count(name) < -(-len(WEIGHTS) // part)
    assert again.progress.snapshot().resumed_bytes > 0
    assert weights_of(store, manifest).read_bytes() == WEIGHTS


@pytest.mark.parametrize("bad_times", [1, 2])
async def test_a_flipped_bit_is_fetched_once_more_and_then_named(
    bucket: BucketServer, store: Path, bad_times: int
) -> None:
    """A blob that arrives wrong is fetched again; wrong twice, it is an error with its name, and stays invisible."""
    manifest = write_store(bucket.folder / "p")
    name = manifest.weights.path if manifest.weights else ""
    spoiled: list[str] = []

    def spoil(asked: str, content: bytes) -> bytes:
        if not asked.endswith(name) or len(spoiled) >= bad_times * -(-len(WEIGHTS) // PART):
            return content
        spoiled.append(asked)
        return bytes([content[0] ^ 1]) + content[1:]

    bucket.spoil = spoil
    if bad_times == 1:
        await source(store).fetch(("m",))
        assert weights_of(store, manifest).read_bytes() == WEIGHTS
        return
    with pytest.raises(BlobDamaged, match=Path(name).name):
        await source(store).fetch(("m",))
    assert manifest.path not in visible(store)


async def test_a_wrong_blob_on_the_volume_is_fetched_anew(bucket: BucketServer, store: Path) -> None:
    """What lies in a blob's place, and is not it, is replaced by what the bucket has."""
    manifest = write_store(bucket.folder / "p")
    await source(store).fetch(("m",))
    damage(weights_of(store, manifest), "flipped")

    await source(store).fetch(("m",))

    assert weights_of(store, manifest).read_bytes() == WEIGHTS


@pytest.mark.parametrize("how", ["flipped", "truncated", "halved", "missing"])
async def test_a_damaged_bucket_never_becomes_ready(bucket: BucketServer, store: Path, how: str) -> None:
    """One flipped bit, a truncated or a missing object: never READY, and the blob is named in the reason."""
    path = weights_of(bucket.folder / "p", write_store(bucket.folder / "p"))
    damage(path, how)
    server = Ollama()
    with server.running:
        async with Agent(
            server.url, MODEL_SOURCE="gcs", MODEL_BUCKET=f"gs://{BUCKET}/p", MODEL_STORE=str(store)
        ) as agent:
            await agent.until("FETCHING" if how == "missing" else "FAILED", path.name)
            assert not agent.controller.readiness.startup_passed
    assert server.asked("/api/generate") == []


async def test_a_page_in_place_of_a_part_proves_nothing(bucket: BucketServer, store: Path) -> None:
    """Regression: what a proxy in between answered with 200 was taken for a damaged blob, which no retry mends."""
    manifest = write_store(bucket.folder / "p")
    bucket.halt = lambda name: setattr(bucket, "status", 200 if "blobs" in name else 0)
    with pytest.raises(SourceError, match="status 200 with 7 bytes is no answer of Cloud Storage") as refused:
        await source(store).fetch(("m",))
    assert not isinstance(refused.value, BlobDamaged)
    bucket.halt, bucket.status = (lambda _: None), 0

    await source(store).fetch(("m",))

    assert weights_of(store, manifest).read_bytes() == WEIGHTS


async def test_an_answer_beyond_memory_is_not_read(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: an answer of any length was kept whole."""
    monkeypatch.setattr(gcs, "PART_BYTES", 100)
    with pytest.raises(SourceError, match="is no answer of Cloud Storage"):
        await source(store).fetch(("m",))


async def test_a_model_from_a_bucket_becomes_ready(bucket: BucketServer, store: Path) -> None:
    """The agent downloads while Ollama boots, and loads what it has checked."""
    server = Ollama()
    server.serves(write_store(bucket.folder / "p"))
    with server.running:
        async with Agent(
            server.url, MODEL_SOURCE="gcs", MODEL_BUCKET=f"gs://{BUCKET}/p", MODEL_STORE=str(store)
        ) as agent:
            await agent.until("READY")
    assert bucket.asked


@pytest.mark.parametrize(
    ("status", "words", "action"),
    [
        (404, "no such bucket or object: p/manifests/registry.ollama.ai/library/m/latest", "PROBE_AGENT_MODEL_BUCKET"),
        (403, "no permission", "objectViewer"),
        (401, "no permission", "objectViewer"),
        (503, "broke off", "Private Google Access"),
    ],
)
async def test_a_refusal_says_what_to_do(
    bucket: BucketServer, store: Path, status: int, words: str, action: str
) -> None:
    """A missing bucket or object, no permission, no identity, an outage: each has its own sentence."""
    bucket.status = status

    with pytest.raises(SourceError, match=words) as caught:
        await source(store).fetch(("m",))

    assert action in caught.value.action


async def test_nobody_there_says_what_to_do(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network without a way to the service is an error of the way, not of the agent."""
    monkeypatch.setattr(gcs, "PAUSES", (0.0,))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")

    with pytest.raises(SourceError, match="broke off"):
        await source(store).fetch(("m",))


async def test_no_credentials_are_told(store: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who runs the agent without an identity is told to give it one."""
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # else the library asks the metadata server of a machine that has none
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(SourceError, match="no usable credentials"):
        await source(store).fetch(("m",))


async def test_a_volume_too_small_is_told_at_once(bucket: BucketServer, store: Path) -> None:
    """The room that a model needs is looked for before anything of it is downloaded."""
    manifest = write_store(bucket.folder / "p")
    weights = manifest.weights
    assert weights is not None
    huge = manifest.content.replace(str(weights.size_bytes).encode(), b"17000000000000")
    (bucket.folder / "p" / manifest.path).write_bytes(huge)
    assert read_manifest("m", huge).size_bytes > 17 * 10**12 - 1

    with pytest.raises(SourceError, match="too small") as caught:
        await source(store).fetch(("m",))

    assert "sizeLimit" in caught.value.action
    assert f"p/{weights.path}" not in bucket.asked


async def test_the_room_of_all_blobs_is_looked_for_at_once(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume that takes the largest blob, but not all of them, is reported before anything of it is downloaded."""
    manifest = write_store(bucket.folder / "p")
    usage = shutil.disk_usage(bucket.folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=len(WEIGHTS)))

    with pytest.raises(SourceError, match="too small"):
        await source(store).fetch(("m",))

    assert bucket.asked == [f"p/{manifest.path}"]


async def test_what_was_resumed_and_is_wrong_counts_no_more(bucket: BucketServer, store: Path) -> None:
    """Parts of an earlier try that do not have the blob's hash are fetched anew, and are no part of the progress."""
    manifest = write_store(bucket.folder / "p")
    assert manifest.weights is not None
    aside = store / gcs.ASIDE / manifest.weights.file_name
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"x" * PART)
    aside.with_name(f"{aside.name}.parts").write_text(f"0-{PART - 1}\n")
    one = source(store)

    await one.fetch(("m",))

    now = one.progress.snapshot()
    assert (now.done_bytes, now.resumed_bytes) == (manifest.size_bytes, 0)
    assert weights_of(store, manifest).read_bytes() == WEIGHTS


async def test_what_another_agent_is_writing_is_left_alone(bucket: BucketServer, store: Path) -> None:
    """Another model's half of a blob is removed, but not while its own agent is at it."""
    aside = store / gcs.ASIDE
    aside.mkdir(parents=True)
    with PartedFile(aside / "sha256-other", 10, 4) as other:
        other.write(other.parts[0], b"0123")
        await source(store).fetch(("m",))
        assert {path.name for path in aside.iterdir()} == {"sha256-other", "sha256-other.parts"}
    await source(store).fetch(("m",))
    assert list(aside.iterdir()) == []


async def test_another_agent_on_the_volume_is_told(bucket: BucketServer, store: Path) -> None:
    """Two that write the same blob would spoil it: the second says so, and may try again."""
    manifest = write_store(bucket.folder / "p")
    assert manifest.weights is not None
    aside = store / gcs.ASIDE / manifest.weights.file_name
    aside.parent.mkdir(parents=True)

    with PartedFile(aside, len(WEIGHTS), PART), pytest.raises(SourceError, match="another process"):
        await source(store).fetch(("m",))

    await source(store).fetch(("m",))
    assert weights_of(store, manifest).read_bytes() == WEIGHTS


async def test_a_download_that_only_drips_is_told(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket that answers, but never to the end, does not hold the agent for good."""
    let_go = threading.Event()
    monkeypatch.setattr(gcs, "PART_SECONDS", 0.2)
    bucket.halt = lambda name: "blobs" in name and let_go.wait(20)
    try:
        with pytest.raises(SourceError, match="no part"):
            await source(store).fetch(("m",))
    finally:
        let_go.set()


def test_a_stop_does_not_wait_for_a_download_that_hangs(bucket: BucketServer, store: Path) -> None:
    """SIGTERM ends the agent within the platform's ten seconds, though a read may hang for thirty."""
    reached, let_go = threading.Event(), threading.Event()

    def halt(name: str) -> None:
        if "blobs" in name:
            reached.set()
            let_go.wait(40)

    bucket.halt = halt
    place = {"MODEL_SOURCE": "gcs", "MODEL_BUCKET": f"gs://{BUCKET}/p", "MODEL_STORE": str(store)}
    with closed_port() as port, AgentProcess(f"http://127.0.0.1:{port}", **place) as agent:
        assert reached.wait(20)
        assert agent.terminate() == 0
        let_go.set()


async def test_a_manifest_that_is_none_is_told(bucket: BucketServer, store: Path) -> None:
    """A damaged manifest in the bucket names the model and the cure."""
    manifest = write_store(bucket.folder / "p")
    (bucket.folder / "p" / manifest.path).write_bytes(b"{")

    with pytest.raises(SourceError, match="model m") as caught:
        await source(store).fetch(("m",))

    assert "PROBE_AGENT_MODEL_BUCKET" in caught.value.action


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "volume is full"), (errno.EROFS, "Read-only")])
async def test_a_volume_that_does_not_take_it_is_told(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    """A full volume, or one that cannot be written, is named with the cure."""

    def write(_file: object, _part: object, _content: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(PartedFile, "write", write)

    with pytest.raises(SourceError, match=words):
        await source(store).fetch(("m",))
    assert bucket.asked


async def test_a_request_that_fails_for_a_moment_is_repeated(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy service costs a pause, and not the fetch."""
    monkeypatch.setattr(gcs, "PAUSES", (0.0, 0.0))
    answers = iter((503, 429, 0))

    def busy(name: str) -> None:
        bucket.status = 0 if "blobs" in name else next(answers, 0)

    bucket.halt = busy
    await source(store).fetch(("m",))
    assert next(answers, None) is None


async def test_an_answer_without_a_length_is_bounded(
    store: Path, monkeypatch: pytest.MonkeyPatch, loopback: Callable[[Answer], int]
) -> None:
    """An answer that goes on and on is broken off when it is longer than a part may be."""
    monkeypatch.setattr(gcs, "PART_BYTES", 100)
    port = loopback(lambda _path, _headers: b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1000)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")

    with pytest.raises(SourceError, match="an answer exceeds 100 bytes"):
        await source(store).fetch(("m",))


class Token(Credentials):
    """Credentials whose token has to be fetched."""

    refreshed = 0

    def refresh(self, _request: object) -> None:
        """Fetch it."""
        Token.refreshed += 1
        self.token = "secret"  # noqa: S105 — not one
        self.expiry = None


async def test_requests_carry_the_token_of_the_service_account(
    bucket: BucketServer, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token is fetched once, by whichever request comes first, and sent with each."""
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setattr(gcs, "GOOGLE", bucket.url)
    monkeypatch.setattr(google.auth, "default", lambda **_: (Token(), "p"))  # type: ignore[no-untyped-call]
    Token.refreshed = 0

    await source(store).fetch(("m",))

    assert Token.refreshed == 1
    assert set(bucket.tokens) == {"Bearer secret"}
