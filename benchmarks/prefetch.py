"""From a cold page cache to "loaded": the weights read ahead in parallel while the server boots, or not, in turns.

It is why the image's entrypoint does not read ahead.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path

from benchmarks import page_cache
from lab.measuring import sample, servers
from lab.measuring.precondition import NotHereError, real_ollama
from lab.measuring.result import Result
from lab.process import LOOPBACK, free_port

NAME = "prefetch"
PAIRS, QUICK_PAIRS = 10, 2
LOADED_SECONDS = 120.0
READERS = 8
MIB = 1 << 20
METHOD = (
    "From: the instant before Ollama's process is made, its blobs dropped from the page cache (POSIX_FADV_DONTNEED). "
    "To: the answer of a load request that is repeated until the server takes it. In turns, which way is first changes "
    f"with each pair; 'prefetch' reads {READERS} ranges of the weights at once by dd. "
    "'ratio' is the median of each pair's prefetch over none; below 1 it wins. No target: only a win is built in."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Measure both ways; needs a real Ollama, whose store is files, and a system that drops pages when asked to."""
    real_ollama()
    if not hasattr(os, "posix_fadvise"):
        raise NotHereError("needs Linux: files are dropped from the page cache by posix_fadvise")
    server = servers.choose(folder)
    store = Path(server.environ["OLLAMA_MODELS"])
    blobs = sorted((store / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(QUICK_PAIRS if quick else PAIRS):
        for ahead in (True, False) if number % 2 else (False, True):
            times[ahead].append(_start(server, blobs, ahead=ahead))
    pairs = zip(times[True], times[False], strict=True)
    return Result(
        name=NAME,
        server=server.description,
        method=METHOD,
        targets=(),
        measured={
            "ratio": statistics.median(with_it / without for with_it, without in pairs),
            "prefetch_seconds": sample.summary(times[True]),
            "none_seconds": sample.summary(times[False]),
            "weights_bytes": blobs[-1].stat().st_size,
            # That dropping does what it says: one plain read of the weights after it, and one more.
            "plain_read_seconds": {"dropped": _read(blobs[-1], drop=True), "cached": _read(blobs[-1], drop=False)},
        },
    )


def _start(server: servers.Server, blobs: list[Path], *, ahead: bool) -> float:
    for blob in blobs:
        page_cache.drop(blob)
    port = free_port()
    with server.on(port) as ollama:
        readers = _read_ahead(blobs[-1]) if ahead else []
        try:
            ollama.until(lambda: _load(port), LOADED_SECONDS, "answer to the load")
            return time.monotonic() - ollama.started
        finally:
            for reader in readers:
                reader.wait(LOADED_SECONDS)


def _read(weights: Path, *, drop: bool) -> float:
    if drop:
        page_cache.drop(weights)
    began = time.monotonic()
    page_cache.fill(weights)
    return time.monotonic() - began


def _read_ahead(weights: Path) -> list[subprocess.Popen[bytes]]:
    share = weights.stat().st_size // MIB // READERS + 1
    ranges = [f"skip={number * share}" for number in range(READERS)]
    command = ["dd", f"if={weights}", "of=/dev/null", "bs=1M", f"count={share}", "status=none"]
    return [subprocess.Popen([*command, each]) for each in ranges]


def _load(port: int) -> bool | None:
    body = json.dumps({"model": servers.MODEL, "keep_alive": -1}).encode()
    request = urllib.request.Request(f"http://{LOOPBACK}:{port}/api/generate", body)
    try:
        # As long as a load may take: hanging up would abort it.
        with urllib.request.urlopen(request, timeout=LOADED_SECONDS) as response:  # noqa: S310 — our own address
            response.read()
    except OSError:
        return None
    return True
