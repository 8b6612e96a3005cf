"""llama-server started as Ollama starts it, for what it says of its memory; and, where wanted, for its answers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.measuring.precondition import real_ollama
from lab.process import LOOPBACK, Running, free_port

# For a load: a model of 250 MB takes a second on two cores.
SECONDS = 60.0
MIB = 2**20
# Each cache is logged in MiB with two decimals.
ROUNDING_MIB = 0.005
# What a planned total may differ from the reported one, as a share.
MOST_DEVIATION = 0.10
# The flags that Ollama gives llama-server: context of all slots, slots, batch, micro-batch.
FLAGS = re.compile(r"-c (\d+) -np (\d+) .*-b (\d+) -ub (\d+)")
# Of a row in the result of the benchmark `plan`.
COLUMNS = "model context parallel kv_type batch model_mib cache_mib caches compute_mib output_mib"
BUFFER = re.compile(r"^\w+: +(?P<device>\S+) +(?P<kind>model|output|KV|RS|compute) buffer size = +(?P<mib>[\d.]+) MiB")
CACHE = re.compile(
    r"^llama_(?P<kind>kv_cache|memory_recurrent): size = +(?P<mib>[\d.]+) MiB \( *(?P<cells>\d+) cells, "
    r"+(?P<layers>\d+) layers.*, [KR] \(\w+\): +(?P<first>[\d.]+) MiB, [VS] \(\w+\): +(?P<second>[\d.]+) MiB"
)


@dataclass(frozen=True, slots=True)
class Cache:
    """One cache as logged, in MiB of two decimals; `first` is K, or a recurrent state's R, `second` V, or S."""

    kind: str
    cells: int
    layers: int
    mib: float
    first_mib: float
    second_mib: float


@dataclass(frozen=True, slots=True)
class Reported:
    """What llama-server reports at its start, in MiB of two decimals."""

    # Weights, in whichever form: on some CPUs a part of them is repacked.
    model_mib: float
    output_mib: float
    compute_mib: float
    caches: tuple[Cache, ...]

    @property
    def cache_mib(self) -> float:
        """All caches together."""
        return sum(cache.mib for cache in self.caches)

    @property
    def total_mib(self) -> float:
        """All that the model's shape decides: weights, caches, output and compute buffers."""
        return self.model_mib + self.cache_mib + self.output_mib + self.compute_mib


def is_equal(planned_bytes: int, reported_mib: float, caches: int) -> bool:
    """Return whether the planned size of all caches is the reported one, within the rounding of each cache."""
    return abs(planned_bytes / MIB - reported_mib) <= ROUNDING_MIB * caches + 1e-9


def binary() -> str:
    """Return Ollama's own llama-server; raises `NotHereError` where there is none."""
    return str(Path(real_ollama()).resolve().parents[1] / "lib" / "ollama" / "llama-server")


def reported(model: Path, flags: Sequence[str]) -> Reported:
    """Start llama-server over the model with these flags beside Ollama's own, and return what it says of memory."""
    with serving(model, flags) as (_, server):
        return parse(line.text for line in server.lines)


@contextlib.contextmanager
def serving(model: Path, flags: Sequence[str]) -> Iterator[tuple[str, Running]]:
    """Yield the address and the process of a llama-server that answers; it is killed at the end."""
    port = free_port()
    command = [binary(), "--model", str(model), "--host", LOOPBACK, "--port", str(port), "--no-webui"]
    command += ["--offline", "--log-verbosity", "4", "--no-log-prefix", "--no-log-timestamps", "--no-warmup"]
    command += ["--no-jinja", "--chat-template", "chatml", "--load-mode", "none", *flags]
    with Running(command, {}) as server:
        server.first(lambda line: True if "listening on" in line.text else None, SECONDS, "server that listens")
        yield f"http://{LOOPBACK}:{port}", server


def parse(lines: Iterable[str]) -> Reported:
    """Read the sizes out of the log's lines; the memory fitter's trial contexts are not logged by these words."""
    sizes = {"model": 0.0, "output": 0.0, "compute": 0.0, "KV": 0.0, "RS": 0.0}
    caches = []
    for line in lines:
        if found := BUFFER.match(line):
            sizes[found["kind"]] += float(found["mib"])
        elif found := CACHE.match(line):
            mibs = (float(found[name]) for name in ("mib", "first", "second"))
            caches.append(Cache(found["kind"], int(found["cells"]), int(found["layers"]), *mibs))
    return Reported(sizes["model"], sizes["output"], sizes["compute"], tuple(caches))
