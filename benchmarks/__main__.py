"""The command line: run benchmarks, print and write their results.

Exit status 1 when a target is missed, or when a benchmark that was asked for by its name cannot be measured here.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import (
    fetch,
    footprint,
    gap,
    held_probe,
    loadtest,
    overhead,
    plan,
    prompt_cache,
    recovery,
    time_to_loaded,
    week,
)
from lab.measuring.precondition import NotHereError
from lab.measuring.result import Result

BENCHMARKS: dict[str, Callable[..., Result]] = {
    module.NAME: module.run
    for module in (
        gap,
        held_probe,
        time_to_loaded,
        overhead,
        footprint,
        week,
        recovery,
        prompt_cache,
        fetch,
        plan,
        loadtest,
    )
}
# Columns where the output is no terminal.
PLAIN_WIDTH = 140


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, or all; returns 0 when every target was met, else 1."""
    names = ", ".join(BENCHMARKS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="What the README claims, measured here.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {names} (all)")
    parser.add_argument("--quick", action="store_true", help="few samples, and nothing is written")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {names}")
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=PLAIN_WIDTH)
    missed, absent = [], []
    for name in options.names or BENCHMARKS:
        try:
            met = _run(name, console, quick=options.quick)
        except NotHereError as error:
            absent.append(f"{name}: {error}")
        else:
            missed += [] if met else [name]
    for each in absent:
        console.print(f"[bold yellow]not measured here[/] {each}")
    if missed:
        console.print(f"[bold red]targets missed[/] in: {', '.join(missed)}")
    return 1 if missed or (absent and options.names) else 0


def _run(name: str, console: Console, *, quick: bool) -> bool:
    console.print(f"{name}{' (quick)' if quick else ''} …", style="dim")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        result = BENCHMARKS[name](Path(folder), quick=quick)
    result.show(console)
    if not quick:
        console.print(f"written: {result.write().relative_to(Path(__file__).parents[1])}")
    return result.met


if __name__ == "__main__":
    sys.exit(main())
