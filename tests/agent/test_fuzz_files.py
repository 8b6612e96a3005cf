"""Every file that the agent reads, with everything that may stand in it: used, or refused in one clear line."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lab import stores
from lab.scripted import Ollama
from probe_agent.errors import ManifestRefused, RequestRefused, SettingsError
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.store import MAX_BLOB_BYTES, read_manifest
from probe_agent.ollama.types import ModelSpec, StoredModel
from probe_agent.prompt_cache.restore import PromptCache
from probe_agent.settings import Settings
from probe_agent.sources.parts import JOURNAL_SUFFIX, PartedFile
from probe_agent.sources.progress import Progress

FUZZED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
# Characters of what a person is told of a bad file, whatever the file holds.
LONGEST_LINE = 600
VALUES: st.SearchStrategy[Any] = st.recursive(
    # All of Unicode, halves of surrogate pairs among it; NaN and Infinity, which Python reads and JSON does not know.
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
MESSAGE = st.fixed_dictionaries({"role": st.just("user"), "content": st.text()}, optional={"images": VALUES})
NEARLY_A_PROMPT = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, min_size=1, max_size=3) | VALUES},
    optional={
        "model": st.just("m") | VALUES,
        "options": st.dictionaries(st.sampled_from(["temperature", "num_predict", "num_ctx"]), VALUES, max_size=2)
        | VALUES,
        **dict.fromkeys(("tools", "format", "think", "stream", "a\nb"), VALUES),
    },
)
LINE = (VALUES | NEARLY_A_PROMPT).map(json.dumps) | st.text(max_size=30)
FILE = st.lists(LINE, max_size=4).map("\n".join).map(lambda text: text.encode("utf-8", "surrogatepass"))
CONTENT = st.tuples(st.sampled_from([b"", b"\xef\xbb\xbf"]), FILE | st.binary(max_size=200)).map(b"".join)
HELLO = b'{"messages": [{"role": "user", "content": "Hello."}]'
DIGITS = b"1" * 5000
DEEP = b"[" * 500 + b"]" * 500


@pytest.fixture(scope="module")
def ollama() -> Iterator[Ollama]:
    """A server that judges what is sent to it."""
    server = Ollama()
    with server.running:
        yield server


def assert_one_line(text: str) -> None:
    """A person can read it, and every log can hold it."""
    assert len(text.splitlines()) == 1
    assert len(text) < LONGEST_LINE
    text.encode()


async def ask(ollama: Ollama, given_settings: Settings) -> None:
    """Send every prompt; what Ollama thinks of one is not the agent's affair."""
    server = OllamaClient(ollama.url, keep_alive=-1)
    for prompt in given_settings.warmup_prompts:
        try:
            await server.chat("m", 2048, prompt, timeout=5)
        except RequestRefused as refusal:
            assert_one_line(refusal.reason)
    await server.close()


@given(CONTENT)
@example(b"")
@example(b"\xff\xfe")
@example(HELLO + b"}\n" + b'{"messages": "\xe9"}')
@example(b"\xef\xbb\xbf" + HELLO + b"}\r\n")
@example(HELLO + b', "options": {"temperature": NaN}}')
@example(HELLO + b', "options": {"temperature": 1e999}}')
@example(HELLO + b', "options": {"seed": ' + DIGITS + b"}}")
@example(HELLO + b', "format": "\\ud800"}')
@example(HELLO + b', "\\ud800": 1}')
@example(HELLO + b', "format": {"\\ud800": 1}}')
@example(HELLO + b', "format": ' + DEEP + b"}")
@example(HELLO + b', "format": ' + DEEP * 900 + b"}")
@example(HELLO + b', "format": "json", "format": "json"}')
@example(HELLO + b', "' + b"y" * 100_000 + b'": 1}')
@example(HELLO + b', "model": "' + b"y" * 100_000 + b'"}')
@example(b"[" * 100_000)
@example(b"x" * 1_000_000)
@FUZZED
def test_any_file_of_prompts_is_sent_or_refused_in_one_line(ollama: Ollama, tmp_path: Path, content: bytes) -> None:
    """What is accepted can be sent to Ollama; what is not is reported with the variable, the file, the line and why."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)
    environ = {"PROBE_AGENT_MODEL": "m@2048", "PROBE_AGENT_WARMUP_PROMPTS": str(path)}
    try:
        accepted = Settings.from_environ(environ)
    except SettingsError as error:
        (problem,) = error.problems
        assert_one_line(problem.replace(str(path), ""))
        if "names" not in problem:  # a model that is not served is told of both variables, and of no line
            assert problem.startswith(f"PROBE_AGENT_WARMUP_PROMPTS={str(path)!r}: ")
            assert re.search(r": line \d+: |: holds no prompt; expected", problem)
    else:
        asyncio.run(ask(ollama, accepted))


IMAGE = json.loads(stores.IMAGE.as_text())
STORED = StoredModel(name="m", digest=IMAGE["digest"], size_bytes=10, format="gguf", quantization="Q4_0")
CHANGED = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(IMAGE, VALUES),
        "flags": st.lists(st.text(st.characters()), max_size=3),
        "warmup_prompts": st.lists(NEARLY_A_PROMPT, max_size=2),
        "prompt_cache": st.lists(st.fixed_dictionaries(dict.fromkeys(IMAGE["prompt_cache"][0], VALUES))),
        "a\nb": VALUES,
    },
)


def image_with(**changed: object) -> bytes:
    """Return an image's manifest with some of its fields changed."""
    return json.dumps({**IMAGE, **changed}).encode()


@given(CHANGED.map(lambda changed: image_with(**changed)) | CONTENT, st.text(st.characters(codec="utf-8")))
@example(image_with(flags=["\ud800"]), "--model\n/models/blobs/sha256-cd")
@example(image_with(flags=["-c", "a\nb"]), "--model\n/models/blobs/sha256-cd")
@example(image_with(warmup_prompts=[{"messages": [], "y" * 100_000: 1}]), "")
@example(image_with(**{"a\nb": 1}), "")
@example(image_with(schema=[["y" * 100_000]]), "")
@example(image_with(num_ctx=0).replace(b'"num_ctx": 0', b'"num_ctx": ' + DIGITS), "")
@example(image_with(warmup_prompts=0).replace(b'"warmup_prompts": 0', b'"warmup_prompts": ' + DEEP), "")
@example(DEEP * 900, "")
@example(b"\xff", "")
@example(b"[]", "")
@FUZZED
def test_any_manifest_of_the_image_is_used_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, content: bytes, record: str
) -> None:
    """A manifest, and a runner's record beside it, never end a start: the warm-up does without the build's cache."""
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "runners").mkdir()
    (folder / "manifest.json").write_bytes(content)
    (folder / "runners" / "1").write_text(record, encoding="utf-8")
    caplog.clear()
    cache = PromptCache(folder, 2)
    image = cache.manifest_of(ModelSpec("m", 2048))
    if image is not None:
        for prompt in image.prompts:
            json.dumps(prompt.request(2048), ensure_ascii=False, allow_nan=False).encode()
        assert asyncio.run(cache.restore(image, STORED)) == 0  # no runner has port 1
    for line in caplog.messages:
        assert line.startswith("prompt cache not used")
        assert_one_line(line.replace(str(folder), ""))


@pytest.mark.parametrize("name", ["0", "65536", "9" * 30, "\u0663", "-1", "port"])
def test_a_record_of_no_port_is_passed_over(tmp_path: Path, name: str) -> None:
    """What is no port among the records of runners is asked nothing."""
    (tmp_path / "runners").mkdir()
    (tmp_path / "manifest.json").write_bytes(image_with())
    (tmp_path / "runners" / name).write_text("-c\n4096\n--model\n/models/blobs/sha256-cd")
    cache = PromptCache(tmp_path, 2)
    image = cache.manifest_of(ModelSpec("m", 2048))
    assert image is not None
    assert asyncio.run(cache.restore(image, STORED)) == 0


BLOB = st.fixed_dictionaries(
    {"digest": st.just("sha256:" + "0" * 64) | VALUES, "size": st.integers() | VALUES}, optional={"mediaType": VALUES}
)
IN_THE_STORE = st.fixed_dictionaries({"config": BLOB | VALUES, "layers": st.lists(BLOB, max_size=3) | VALUES})


def layer_of(size: bytes) -> bytes:
    """Return a store's manifest whose one layer claims a size."""
    blob = b'{"digest": "sha256:%s", "size": %s}'
    return b'{"config": %s, "layers": [%s]}' % (blob % (b"0" * 64, b"1"), blob % (b"1" * 64, size))


@given(IN_THE_STORE.map(json.dumps).map(str.encode) | CONTENT)
@example(layer_of(b"1" + b"0" * 400))
@example(layer_of(DIGITS))
@example(layer_of(b"true"))
@example(layer_of(b"NaN"))
@example(layer_of(DEEP))
@example(layer_of(b'"' + b"y" * 100_000 + b'"'))
@example(b"\xff" + b"y" * 100_000)
@example(DEEP * 900)
@FUZZED
def test_any_manifest_of_the_store_is_used_or_refused_in_one_line(content: bytes) -> None:
    """A manifest from a bucket or a volume names blobs of sizes that can be counted, or is refused."""
    try:
        manifest = read_manifest("m", content)
    except ManifestRefused as error:
        assert_one_line(str(error))
        return
    assert all(0 <= blob.size_bytes <= MAX_BLOB_BYTES for blob in manifest.blobs)
    progress = Progress()
    progress.expect(manifest.size_bytes)
    assert_one_line(str(progress.snapshot()))


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from(["0-3", "4-7", "8-9", "4-", "\u0663-\u0667", "0-30"])).map(" ".join).map(str.encode)
)
@example(b"0-3\n\xff\xfe\n4-7")
@FUZZED
def test_any_journal_of_a_download_is_believed_or_not(tmp_path: Path, content: bytes) -> None:
    """A journal that a crash has damaged costs at most the parts that it would have told of."""
    path = tmp_path / "blob"
    path.write_bytes(b"0123456789")
    path.with_name(f"blob{JOURNAL_SUFFIX}").write_bytes(content)
    with PartedFile(path, 10, 4) as file:
        assert file.missing == tuple(part for part in file.parts if str(part).encode() not in content.split())
        for part in file.missing:
            file.write(part, b"0123456789"[part.start : part.end + 1])
        assert not file.missing
