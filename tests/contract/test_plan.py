"""What `ops plan` says of a model, held against a real Ollama: the flags that it gives its runner, and the memory."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import httpx
import pytest

from lab import attention_ggufs
from lab.measuring.llama_server import FLAGS, MOST_DEVIATION, is_equal, parse
from lab.ollama_server import LOAD_SECONDS
from lab.servers import NO_TLS, REAL_OLLAMA, RealOllama, wait_until
from ops import smollm2
from ops.plan.memory import MIB, Load, batch, memory
from ops.plan.sources import shape_of
from tests.contract.differences import DIFFERENCES

pytestmark = pytest.mark.skipif(REAL_OLLAMA is None, reason="no real Ollama: set OLLAMA_BIN")
BINARY = REAL_OLLAMA or ""
LOADED = re.compile(r"sched_reserve: .*compute buffer size")


@pytest.mark.parametrize(
    ("kind", "load"),
    [
        ("smollm2", Load(4096, 2, "q8_0")),
        ("sliding_window", Load(8192, 4, "f16")),
        ("sliding_window", Load(2048, 2, "q8_0", has_full_windows=True)),
        ("delta_net", Load(4096, 4, "f16")),
    ],
)
def test_a_real_ollama_loads_as_planned(kind: str, load: Load, tmp_path: Path) -> None:
    """The runner gets the planned context, slots and batch, keeps what was planned, and takes what was planned in all.

    The shape is read from the running server itself, as `ops plan --url` does.
    """
    environ = {"OLLAMA_NUM_PARALLEL": str(load.parallel), "OLLAMA_KV_CACHE_TYPE": load.kv_type}
    environ |= {"LLAMA_ARG_SWA_FULL": "1"} if load.has_full_windows else {}
    path = smollm2.gguf_path() if kind == "smollm2" else attention_ggufs.write(tmp_path, kind)
    if not (Path(BINARY).resolve().parents[1] / "lib" / "ollama" / "llama-server").exists():
        pytest.skip(DIFFERENCES["external runner"].was_so)
    with (
        RealOllama(tmp_path, BINARY, environ) as server,
        httpx.Client(base_url=server.url, timeout=LOAD_SECONDS, verify=NO_TLS) as http,
    ):
        create(http, path)
        shape = shape_of("planned", store=None, url=server.url)
        body = {"model": "planned", "options": {"num_ctx": load.context}}
        assert http.post("/api/generate", json=body).status_code == 200
        wait_until(lambda: LOADED.search(server.log.read_text()), what="the sizes in the log")
        log = server.log.read_text()
    planned = memory(shape, load)
    total = load.context * planned.slots
    size = batch(shape, total)
    told = FLAGS.search(log)
    assert told
    assert [int(each) for each in told.groups()] == [total, planned.slots, size, size]
    reported = parse(log.splitlines())
    assert is_equal(planned.kv_cache, reported.cache_mib, len(reported.caches))
    assert abs(planned.total / MIB / reported.total_mib - 1) <= MOST_DEVIATION


def create(http: httpx.Client, path: Path) -> None:
    """Import the file as the model `planned`."""
    content = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert http.post(f"/api/blobs/{digest}", content=content).status_code == 201
    body = {"model": "planned", "files": {path.name: digest}, "stream": False}
    assert http.post("/api/create", json=body).status_code == 200
