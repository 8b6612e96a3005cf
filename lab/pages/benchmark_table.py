"""The table of `benchmarks.md`, from each newest result. `python -m lab.pages.benchmark_table [--check]`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.pages.made_part import MadePart

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
DATE = len("2026-11-22-")
HEADINGS = ("| benchmark | claim | target | measured | |", "|---|---|---|---|---|")


def newest() -> dict[str, dict[str, Any]]:
    """Return the newest result of each name, sorted by name."""
    files = {path.stem[DATE:]: path for path in sorted(RESULTS.glob("*.json"))}
    return {name: json.loads(files[name].read_text(encoding="utf-8")) for name in sorted(files)}


def table() -> str:
    """Return one row per target, then one line per result: date, machine and its load."""
    results = newest()
    rows = [row for name, result in results.items() for row in _rows(name, result)]
    return "\n".join([*HEADINGS, *rows, "", *(_origin(name, result) for name, result in results.items())])


def _rows(name: str, result: dict[str, Any]) -> Iterator[str]:
    for target in result["targets"]:
        limit, measured = (f"{target[key]:.4g} {target['unit']}".strip() for key in ("limit", "measured"))
        verdict = "met" if target["met"] else "**missed**"
        yield f"| `{name}` | {target['claim']} | ≤ {limit} | {measured} | {verdict} |"
    for claim, why in result.get("not_measured_here", {}).items():
        yield f"| `{name}` | {claim} | | not measured: {why} | |"


def _origin(name: str, result: dict[str, Any]) -> str:
    machine = result["machine"]
    load = ", ".join(f"{each:.1f}" for each in machine["load_average"][:1])
    cores = f"{machine['cores']} cores of an {machine['cpu']}, {machine['memory_bytes'] / 1e9:.0f} GB"
    speed = f", a million turns of a Python loop in {machine['loop_ms']} ms" if "loop_ms" in machine else ""
    return f"- `{name}`: {result['date'][:10]}, {result['server']}, {cores}, load before it {load}{speed}"


BENCHMARK_TABLE = MadePart("benchmarks.md", "results", "lab.pages.benchmark_table", table)

if __name__ == "__main__":
    sys.exit(BENCHMARK_TABLE.main())
