"""Planned against real: what `ops plan` predicts of a model's memory, and what llama-server and Ollama report of it."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import ollama

from benchmarks import gemma
from lab import attention_ggufs
from lab.measuring import llama_server
from lab.measuring.llama_server import COLUMNS, FLAGS, MOST_DEVIATION, is_equal
from lab.measuring.precondition import real_ollama
from lab.measuring.result import Result, Target
from lab.process import LOOPBACK, Running, free_port
from ops import kv_cache, smollm2
from ops.plan.gguf_facts import ModelShape
from ops.plan.memory import MIB, Load, Memory, batch, memory
from ops.plan.sources import from_gguf
from ops.up import runtime

NAME = "plan"
REAL = (smollm2.NAME, gemma.NAME)
CONTEXTS, QUICK_CONTEXTS = (1024, 4096, 16384), (4096,)
PARALLELS, QUICK_PARALLELS = (1, 2, 4), (2,)
OLLAMA_SETTINGS = (Load(4096, 1, "f16"), Load(4096, 2, "q8_0"), Load(8192, 4, "q8_0"), Load(16384, 4, "f16"))
# For a load by Ollama: the models need one.
SECONDS = 60.0
METHOD = (
    "Two real models and eight that lab/attention_ggufs.py writes, one of each kind of attention and a mixture of "
    "experts. Each is loaded by Ollama's own llama-server on the CPU, with the flags that Ollama would give it, over "
    f"contexts per slot of {', '.join(map(str, CONTEXTS))} (at most the trained one), {', '.join(map(str, PARALLELS))} "
    f"slots and the KV types {', '.join(kv_cache.DOCUMENTED)}. 'cache' is the sum of the log's 'size = ' lines, "
    "keys, values and recurrent states; equal means within the log's rounding of each. 'total' is weights, caches, "
    "compute and output buffers. 'ratio' is planned / reported. 'ollama': the same through a real "
    "`ollama serve`, flags and sizes read from its log; its /api/ps is recorded beside them: of a model with windows "
    "it counts one cache of two. No GPU was measured."
)


class Sample(NamedTuple):
    """One start of llama-server, planned and reported."""

    model: str
    load: Load
    planned: Memory
    reported: llama_server.Reported

    @property
    def has_equal_cache(self) -> bool:
        """Whether the planned caches are the reported ones, but for the log's rounding."""
        return is_equal(self.planned.kv_cache, self.reported.cache_mib, len(self.reported.caches))

    @property
    def ratio(self) -> float:
        """Planned / reported, in total."""
        return self.planned.total / MIB / self.reported.total_mib

    @property
    def row(self) -> str:
        """What is recorded, by `COLUMNS`."""
        load, found = self.load, self.reported
        sizes = (found.model_mib, round(found.cache_mib, 2), len(found.caches), found.compute_mib, found.output_mib)
        return " ".join(map(str, (self.model, load.context, load.parallel, load.kv_type, load.batch, *sizes)))


def run(folder: Path, *, quick: bool) -> Result:
    """Load every model in every way, and compare; raises `NotHereError` where there is no llama-server."""
    binary = real_ollama()
    files, left_out = _files(folder, quick=quick)
    shapes = {name: from_gguf(path, name) for name, path in files.items()}
    samples = [sample for name in files for sample in _samples(files[name], shapes[name], quick=quick)]
    served = [] if quick else list(_served(folder, binary, files, shapes))
    worst = max(abs(sample.ratio - 1) for sample in samples)
    targets = [
        Target("starts whose cache is not the planned one", sum(not each.has_equal_cache for each in samples), 0, ""),
        Target("total, planned / reported, furthest from 1", worst, MOST_DEVIATION, ""),
    ]
    if served:
        flags = sum(not (each["flags_as_planned"] and each["cache_as_planned"]) for each in served)
        off = max(abs(each["ratio"] - 1) for each in served)
        targets += [
            Target("loads by a real Ollama whose flags or cache are not the planned ones", flags, 0, ""),
            Target("total by a real Ollama, planned / reported, furthest from 1", off, MOST_DEVIATION, ""),
        ]
    return Result(
        name=NAME,
        server=runtime.ollama(binary).description.partition(" (/")[0],
        method=METHOD,
        targets=tuple(targets),
        measured={
            **{name: _summary([each for each in samples if each.model == name]) for name in files},
            **({"left_out": left_out} if left_out else {}),
            "ollama": served,
            "columns": COLUMNS,
            "samples": [sample.row for sample in samples],
            "shapes": [dataclasses.asdict(shape) for shape in shapes.values()],
        },
    )


def _files(folder: Path, *, quick: bool) -> tuple[dict[str, Path], str]:
    more, left_out = gemma.where_there(quick=quick)
    files = {smollm2.NAME: smollm2.gguf_path(), **dict(attention_ggufs.all_of(folder)), **more}
    return files, f"{gemma.NAME}: {left_out}" if left_out else ""


def loads(shape: ModelShape, contexts: tuple[int, ...], parallels: tuple[int, ...]) -> Iterator[Load]:
    """Yield every combination, as Ollama asks for it: no context above the trained one, its own batch."""
    for context in dict.fromkeys(min(each, shape.trained_context) for each in contexts):
        for parallel in parallels:
            for kv_type in kv_cache.DOCUMENTED:
                yield Load(context, parallel, kv_type, batch(shape, context * parallel))


def flags(load: Load) -> list[str]:
    """Return how llama-server is told, as Ollama does."""
    told = ["-c", str(load.context * load.parallel), "-np", str(load.parallel), "--flash-attn", "auto"]
    told += ["-b", str(load.batch), "-ub", str(load.batch)]
    return [*told, "--cache-type-k", load.kv_type, "--cache-type-v", load.kv_type]


def _samples(path: Path, shape: ModelShape, *, quick: bool) -> Iterator[Sample]:
    # Ollama gives some architectures one slot; llama-server itself is asked for all of them.
    every = dataclasses.replace(shape, has_one_slot=False)
    wanted = (QUICK_CONTEXTS, QUICK_PARALLELS) if quick else (CONTEXTS, PARALLELS)
    for load in loads(every, *wanted):
        yield Sample(shape.name, load, memory(every, load), llama_server.reported(path, flags(load)))


def _summary(samples: list[Sample]) -> dict[str, Any]:
    ratios = [each.ratio for each in samples]
    return {
        "starts": len(samples),
        "equal_caches": sum(each.has_equal_cache for each in samples),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
    }


def _served(
    folder: Path, binary: str, files: dict[str, Path], shapes: dict[str, ModelShape]
) -> Iterator[dict[str, Any]]:
    """Load the real models by a real Ollama, and yield what it told llama-server, and what it says of the memory."""
    environ = {name: "" for name in os.environ if name.startswith("OLLAMA_")}
    environ |= {"OLLAMA_MODELS": str(folder / "store"), "HOME": str(folder), "OLLAMA_NO_CLOUD": "1"}
    for load in OLLAMA_SETTINGS:
        address = f"{LOOPBACK}:{free_port()}"
        own = {"OLLAMA_NUM_PARALLEL": str(load.parallel), "OLLAMA_KV_CACHE_TYPE": load.kv_type}
        client = ollama.Client(f"http://{address}", timeout=SECONDS)
        with Running((binary, "serve"), {**environ, **own, "OLLAMA_HOST": address}) as server:
            server.until(partial(_answers, client), SECONDS, "answer")
            for name in REAL:
                if name in files:
                    _import(client, name, files[name])
                    yield _load(server, client, shapes[name], load)


def _load(server: Running, client: ollama.Client, shape: ModelShape, load: Load) -> dict[str, Any]:
    since = len(server.lines)
    client.generate(shape.name, options={"num_ctx": load.context})
    told = next(found for line in server.lines[since:] if (found := FLAGS.search(line.text)))
    (listed,) = (each.size or 0 for each in client.ps().models if each.model == f"{shape.name}:latest")
    reported = llama_server.parse(line.text for line in server.lines[since:])
    context = min(load.context, shape.trained_context) * load.parallel
    size, planned = batch(shape, context), memory(shape, load)
    return {
        "model": shape.name,
        "context": load.context,
        "parallel": load.parallel,
        "kv_type": load.kv_type,
        "flags": told[0],
        "flags_as_planned": [int(each) for each in told.groups()] == [context, load.parallel, size, size],
        "cache_as_planned": is_equal(planned.kv_cache, reported.cache_mib, len(reported.caches)),
        "planned_mib": planned.total / MIB,
        "reported_mib": reported.total_mib,
        "ratio": planned.total / MIB / reported.total_mib,
        "api_ps_mib": int(listed) / MIB,
    }


def _answers(client: ollama.Client) -> bool | None:
    try:
        client.list()
    except (OSError, httpx.HTTPError):
        return None
    return True


def _import(client: ollama.Client, name: str, path: Path) -> None:
    """Create the model, unless an earlier server has put it into the store."""
    if not any(each.model == f"{name}:latest" for each in client.list().models):
        client.create(name, files={path.name: client.create_blob(path)})
