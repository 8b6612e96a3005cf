"""A 2 GB model from a bucket on loopback: many streams against one and against a plain copy, and killed on its way."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fetcher import MODEL
from lab.bucket import BUCKET
from lab.measuring import sample
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK, Line, Running
from lab.stores import weights_of, write_store
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import StoreManifest

NAME = "fetch"
BYTES, QUICK_BYTES = 2_000_000_000, 200_000_000
ROUNDS, QUICK_ROUNDS = 7, 1
KILLS, QUICK_KILLS = 10, 2
# Bytes per second of each stream where it is limited: one Cloud Storage stream, as the issue puts it.
STREAM_LIMIT = 50e6
# For one fetch: twice what a single limited stream takes three times over.
SECONDS = 300.0
LIMIT_SINGLE, LIMIT_COPY = 1 / 3, 1.2
SEED = 3
METHOD = (
    "A model of one blob of random bytes, its bucket served by another process (sendfile). 'limited': each stream gets "
    f"{STREAM_LIMIT / 1e6:.0f} MB/s; the agent's gcs source against one plain GET of the blob into a file, unchecked. "
    "'free': no limit; the agent's source, SHA-256 and rename included, against `cp` of the blob in the same file "
    "system, and against `cp` and a SHA-256 of the copy after it, in turns whose order changes; the blob is in the "
    "page cache, the files of the turn before are removed, nobody calls fsync. The target is the second. "
    "Seconds are the fetch's own, without the interpreter's start and the import of "
    "the agent's download ('import_seconds'). 'kills': SIGKILL at a random point of the progress, then another process "
    "to the end, whose store is checked against every name; seeded."
)


def run(folder: Path, *, quick: bool) -> Result:
    """Measure all of it in `folder`, which needs room for three times the model."""
    size = QUICK_BYTES if quick else BYTES
    bucket = folder / "bucket"
    manifest = write_store(bucket, MODEL, os.urandom(size))
    os.sync()  # else its writing back disturbs what is measured first
    limited = _limited(bucket, folder, manifest)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    free = _free(bucket, folder, manifest, rounds)
    kills = _kills(bucket, folder, manifest, QUICK_KILLS if quick else KILLS)
    return Result(
        name=NAME,
        server="a bucket on loopback",
        method=METHOD,
        targets=(
            Target("many streams over one, 50 MB/s each", limited["ratio"], LIMIT_SINGLE, ""),
            Target("fetch over cp and a SHA-256 of the copy", free["over_cp_and_hash"], LIMIT_COPY, ""),
            Target("kills after which it did not end verified", kills["not_verified"], 0, ""),
        ),
        measured={
            "bytes": size,
            "limited": limited,
            "free": free,
            "kills": kills,
            "import_seconds": _import_seconds(),
        },
    )


def _limited(bucket: Path, folder: Path, manifest: StoreManifest) -> dict[str, Any]:
    with _serving(bucket, STREAM_LIMIT) as url:
        many = _fetch(url, folder / "store")
        began = time.monotonic()
        path = f"{url}/download/storage/v1/b/{BUCKET}/o/blobs%2F{weights_of(bucket, manifest).name}?alt=media"
        subprocess.run(("curl", "--fail", "--silent", "--output", folder / "single", path), timeout=SECONDS, check=True)
        one = time.monotonic() - began
    (folder / "single").unlink()
    return {"ratio": many["seconds"] / one, "many_seconds": many["seconds"], "one_seconds": one}


def _free(bucket: Path, folder: Path, manifest: StoreManifest, rounds: int) -> dict[str, Any]:
    source = weights_of(bucket, manifest)
    times: dict[str, list[float]] = {"fetch": [], "cp": [], "cp_and_hash": []}
    peaks = []
    with _serving(bucket, 0) as url:
        for number in range(rounds + 1):
            turn = {}
            for way in sorted(times, reverse=bool(number % 2)):
                if way == "fetch":
                    fetched = _fetch(url, folder / "store")
                    turn[way] = fetched["seconds"]
                    peaks.append(fetched["peak_bytes"])
                else:
                    turn[way] = _copy(source, folder / "copy", check=way != "cp")
            if number:  # the first one warms the machine up
                for way, seconds in turn.items():
                    times[way].append(seconds)
    ratio, least, most = sample.ratio_of_medians(list(zip(times["fetch"], times["cp_and_hash"], strict=True)))
    return {
        "over_cp_and_hash": ratio,
        "over_cp_and_hash_95_percent": {"least": least, "most": most},
        "over_cp": median(times["fetch"]) / median(times["cp"]),
        "bytes_per_second": manifest.size_bytes / median(times["fetch"]),
        "peak_bytes": max(peaks),
        **{f"{way}_seconds": sample.summary(seconds) for way, seconds in times.items()},
    }


def _kills(bucket: Path, folder: Path, manifest: StoreManifest, kills: int) -> dict[str, Any]:
    draw = random.Random(SEED)  # noqa: S311 — where to kill, not a secret
    store = folder / "store"
    shares, kept, not_verified = [], [], 0
    with _serving(bucket, 0) as url:
        for _ in range(kills):
            shutil.rmtree(store, ignore_errors=True)
            share = draw.random()
            with _fetcher(url, store) as fetcher:
                fetcher.first(_reaches(share * manifest.size_bytes), SECONDS, "progress")
            visible = (store / manifest.path).exists() or weights_of(store, manifest).exists()
            again = _fetch(url, store, keep=True)
            shares.append(share)
            kept.append(again["resumed_bytes"] / manifest.size_bytes)
            not_verified += not _verified(store, manifest) or (visible and share < 1)
    shutil.rmtree(store)
    return {"not_verified": not_verified, "killed_at_share": shares, "kept_share": kept, "kills": kills}


def _verified(store: Path, manifest: StoreManifest) -> bool:
    for blob in manifest.blobs:
        check_blob(store / blob.path, blob)  # raises for the one that is wrong
    return (store / manifest.path).read_bytes() == manifest.content


def _reaches(wanted: float) -> Callable[[Line], bool | None]:
    return lambda line: (line.text.isdigit() and int(line.text) >= wanted) or None


class _serving:  # noqa: N801 — read as a word: `with _serving(...) as url`
    """The bucket's process."""

    def __init__(self, bucket: Path, limit: float) -> None:
        command = (sys.executable, "-m", "lab.bucket", str(bucket), "--limit", str(limit))
        self._running = Running(command, {})

    def __enter__(self) -> str:
        self._running.__enter__()
        port = self._running.first(lambda line: line.text if line.text.isdigit() else None, SECONDS, "port")
        return f"http://{LOOPBACK}:{port}"

    def __exit__(self, *reason: object) -> None:
        self._running.__exit__(*reason)


def _fetcher(url: str, store: Path) -> Running:
    command = (sys.executable, "-m", "benchmarks.fetcher", str(store))
    return Running(command, {"STORAGE_EMULATOR_HOST": url})


def _fetch(url: str, store: Path, *, keep: bool = False) -> dict[str, Any]:
    """Fetch into a new store, or with `keep` into what is there; returns what the fetcher measured."""
    if not keep:
        shutil.rmtree(store, ignore_errors=True)
    with _fetcher(url, store) as running:
        figures = running.first(lambda line: line.text if line.text.startswith("{") else None, SECONDS, "end")
    result: dict[str, Any] = json.loads(figures)
    return result


def _copy(source: Path, target: Path, *, check: bool) -> float:
    target.unlink(missing_ok=True)
    began = time.monotonic()
    subprocess.run(("cp", source, target), timeout=SECONDS, check=True)
    if check:
        with target.open("rb") as file:
            hashlib.file_digest(file, "sha256")
    took = time.monotonic() - began
    target.unlink()
    return took


def _import_seconds() -> float:
    began = time.monotonic()
    subprocess.run((sys.executable, "-c", "import probe_agent.sources.gcs"), timeout=SECONDS, check=True)
    return time.monotonic() - began
