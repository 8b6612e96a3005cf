"""One fetch by the agent's own source, in a process that may be killed: `python -m benchmarks.fetcher FOLDER`.

Prints each change of progress, in bytes, and at the end a line of JSON: seconds of the fetch, and its peak memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from pathlib import Path

from lab.bucket import BUCKET
from probe_agent.sources.gcs import GcsSource

MODEL = "benchmark"
LOOK_SECONDS = 0.01


async def fetch(folder: Path) -> None:
    """Fetch, telling of the progress."""
    source = GcsSource(f"gs://{BUCKET}", folder)
    began = time.monotonic()
    task = asyncio.create_task(source.fetch((MODEL,)))
    told = -1
    while not task.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(task), LOOK_SECONDS)
        if (done := source.progress.snapshot().done_bytes) != told:
            print(told := done, flush=True)
    await task
    figures = {
        "seconds": time.monotonic() - began,
        "resumed_bytes": source.progress.snapshot().resumed_bytes,
        "peak_bytes": _peak_bytes(),
    }
    print(json.dumps(figures), flush=True)
    signal.pause()  # until it is killed, so that nobody has to tell an end from a crash


def _peak_bytes() -> int:
    """Return the most memory that was resident since this program began; getrusage would tell its parent's too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def main() -> None:
    """Import what a fetch imports, then fetch."""
    asyncio.run(fetch(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
