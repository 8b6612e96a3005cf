"""`python -m lab.faults`: run the whole matrix, write what it showed, and the table in docs/faults.md.

Exit status 1 when a cell showed what must not be; the result is written all the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lab.faults import breaking
from lab.faults.cells import CELLS, REAL_CELLS, Cell
from lab.faults.matrix import Matrix
from lab.faults.subjects import real, scripted
from lab.measuring.result import Result, Target
from lab.pages.fault_table import FAULT_TABLES
from lab.servers import REAL_OLLAMA

LANES = 3
METHOD = (
    "Each cell is a new agent process, brought into the state and held there; then the fault comes for at least "
    "fault_seconds, and goes. 'said' has each change of what /readyz, /livez and /startupz said meanwhile, asked about "
    "ten times a second over new connections with a second's patience: seconds since the fault began, state, codes. "
    "'ended_after_seconds' counts from the end of the fault (STOPPING: from SIGTERM)."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab.faults", description="The fault matrix, run and written.")
    parser.add_argument("--lanes", type=int, default=LANES, help="cells at once (%(default)s)")
    parser.add_argument("--only", choices=["stand-in", "ollama"], help="one of the two servers")
    options = parser.parse_args(arguments)
    found = []
    if options.only != "ollama":
        found.append(_run("faults_standin", CELLS, options.lanes))
    if options.only != "stand-in":
        if REAL_OLLAMA is None:
            sys.stderr.write("no real Ollama: set OLLAMA_BIN; its half of the matrix is not run\n")
        else:
            found.append(_run("faults_ollama", REAL_CELLS, min(2, options.lanes)))
    FAULT_TABLES.write()
    return 0 if all(found) else 1


def _run(name: str, cells: Sequence[Cell], lanes: int) -> bool:
    possible = [cell for cell in cells if not cell.no_sense]
    measured: dict[Cell, dict[str, Any]] = {
        cell: {"state": cell.state, "fault": cell.fault, "no_sense": cell.no_sense} for cell in cells
    }
    with tempfile.TemporaryDirectory(prefix="faults-") as home:
        subject_of = scripted if name == "faults_standin" else lambda folder, _: real(folder, str(REAL_OLLAMA))
        with Matrix(Path(home), subject_of, possible, lanes, breaking.run) as matrix:
            for cell, future in matrix.futures.items():
                measured[cell] = future.result().as_json()
                wrong = measured[cell]["complaints"]
                print(f"{cell.state:12} {cell.fault:16} {measured[cell]['ended']} {' '.join(wrong)}", flush=True)
            server = matrix.name
    wrong = sum(bool(measured[cell]["complaints"]) for cell in possible)
    claim = f"cells of {len(possible)} that showed what must not be"
    result = Result(
        name=name,
        server=server,
        method=METHOD,
        targets=(Target(claim, wrong, 0, ""),),
        measured={"cells": [*measured.values()]},
    )
    print(f"written: {result.write()}")
    return result.met


if __name__ == "__main__":
    sys.exit(main())
