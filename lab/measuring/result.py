"""One benchmark's result: printed as a table, and written as JSON with the machine that it ran on."""

from __future__ import annotations

import json
import os
import platform
import timeit
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parents[2] / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must not be exceeded."""

    claim: str
    measured: float
    limit: float
    unit: str

    @property
    def met(self) -> bool:
        """Whether the measured figure is within its limit."""
        return self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark found. `measured` is JSON; its names carry their units."""

    name: str
    # What answered as Ollama: a real one with its version, or which stand-in.
    server: str
    # What was measured, from which instant to which, in a sentence or two.
    method: str
    targets: tuple[Target, ...]
    measured: Mapping[str, Any]
    # Claims that could not be measured on this machine, and why.
    not_here: Mapping[str, str] = field(default_factory=dict)
    # For the screen: what `measured` has as lists.
    tables: tuple[Table, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def met(self) -> bool:
        """Whether every target was met."""
        return all(target.met for target in self.targets)

    def write(self, folder: Path = FOLDER) -> Path:
        """Write the result into `folder`, as DATE-NAME.json; a later run of the same day replaces it."""
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.at:%Y-%m-%d}-{self.name}.json"
        path.write_text(json.dumps(self._as_json(), indent=2) + "\n", encoding="utf-8")
        return path

    def show(self, console: Console) -> None:
        """Print the targets, then every other figure."""
        table = Table(title=f"{self.name} · {self.server}", title_justify="left", title_style="bold")
        for heading in ("claim", "measured", "target", ""):
            table.add_column(heading, justify="left" if heading in ("claim", "") else "right")
        for target in self.targets:
            verdict = "[green]met[/]" if target.met else "[bold red]MISSED[/]"
            table.add_row(target.claim, f"{target.measured:.4g} {target.unit}".strip(), f"≤ {target.limit:g}", verdict)
        for claim, why in self.not_here.items():
            table.add_row(claim, "–", "", f"[yellow]not measured here[/]: {why}")
        console.print(table)
        console.print(self.method, style="dim")
        for each in self.tables:
            console.print(each)
        for line in _lines(self.measured):
            console.print(f"  {line}")
        console.print()

    def _as_json(self) -> dict[str, Any]:
        return {
            "benchmark": self.name,
            "date": self.at.isoformat(timespec="seconds"),
            "machine": machine(),
            "server": self.server,
            "method": self.method,
            "targets": [
                {
                    "claim": target.claim,
                    "measured": round(target.measured, 6),
                    "limit": target.limit,
                    "unit": target.unit,
                    "met": target.met,
                }
                for target in self.targets
            ],
            **({"not_measured_here": dict(self.not_here)} if self.not_here else {}),
            "measured": _rounded(self.measured),
        }


def machine() -> dict[str, Any]:
    """Describe this machine as far as it matters for a figure; memory in bytes, load as `uptime` shows it.

    `loop_ms` is what a million turns of a Python loop take, the least of five: machines of one name differ by a factor.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "loop_ms": round(min(timeit.repeat("for _ in range(1_000_000): pass", number=1, repeat=5)) * 1000, 1),
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


def _lines(figures: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield a line for each figure, and for each group of plain ones; lists of samples are for the file alone."""
    for name, value in figures.items():
        if isinstance(value, dict) and any(isinstance(each, dict) for each in value.values()):
            yield from _lines(value, f"{prefix}{name}.")
        elif isinstance(value, dict):
            plain = {each: figure for each, figure in value.items() if not isinstance(figure, list)}
            yield f"{prefix}{name}: " + ", ".join(f"{each} {_plain(figure)}" for each, figure in plain.items())
        elif not isinstance(value, list):
            yield f"{prefix}{name}: {_plain(value)}"


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
