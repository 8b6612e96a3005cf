"""The tables of `faults.md`, from the newest runs of the fault matrix. `python -m lab.pages.fault_table [--check]`."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lab.pages.made_part import MadePart

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
RUNS = ("faults_standin", "faults_ollama")
SOAKS = ("soak_standin", "soak_ollama", "soak_standin_shipped", "soak_ollama_shipped")
OK, NONE = "200", "-"


def newest(name: str) -> Path:
    """Return the file of the newest run of this name; raises `ValueError` if there is none."""
    files = sorted(RESULTS.glob(f"*-{name}.json"))
    if not files:
        raise ValueError(f"no result {name} under {RESULTS}: run make faults")
    return files[-1]


def tables() -> str:
    """Return one table per server, with a row per fault and a column per state, then one for the soaks."""
    soaks = [read(name) for name in SOAKS if any(RESULTS.glob(f"*-{name}.json"))]
    return "\n\n".join([*(_table(read(name)) for name in RUNS), *([_soak_table(soaks)] if soaks else [])])


def read(name: str) -> dict[str, Any]:
    """Return the newest run of this name."""
    found: dict[str, Any] = json.loads(newest(name).read_text(encoding="utf-8"))
    return found


def _soak_table(soaks: list[dict[str, Any]]) -> str:
    headings = ["soak", "faults", "client", "sent", "failed", "held back", "in vain", "availability", "alone"]
    lines = ["[The soak](#the-soak), the last one on each server:", "", _row(headings), _row(["---"] * len(headings))]
    for soak in soaks:
        about = soak["measured"]
        shipped = ", shipped settings" if soak["benchmark"].endswith("_shipped") else ""
        when = f"{soak['server']}{shipped}, {soak['date'][:10]}, {about['seconds']:.0f} s, seed {about['seed']}"
        for who, counts in about["clients"].items():
            numbers = [str(counts[name]) for name in ("sent", "failed", "held_back")]
            in_vain = str(about["held_back_in_vain"] if counts["held_back"] else 0)
            shares = [f"{counts[name]:.1%}" for name in ("availability", "availability_alone")]
            lines.append(_row([when, str(about["faults"]), who, *numbers, in_vain, *shares]))
    return "\n".join(lines)


def _table(run: dict[str, Any]) -> str:
    cells = {(cell["fault"], cell["state"]): cell for cell in run["measured"]["cells"]}
    faults, states = ([*dict.fromkeys(key[place] for key in cells)] for place in (0, 1))
    reasons = [*dict.fromkeys(cell["no_sense"] for cell in cells.values() if "no_sense" in cell)]
    machine = run["machine"]
    lines = [
        f"Against {run['server']}, {run['date'][:10]}, {machine['cores']} cores ({machine['cpu']}).",
        "",
        _row(["fault", *states]),
        _row(["---"] * (1 + len(states))),
    ]
    lines += [_row([f"**{fault}**", *(_cell(cells[fault, state], reasons) for state in states)]) for fault in faults]
    lines += ["", *(f"<sup>{number}</sup> makes no sense: {reason}.  " for number, reason in enumerate(reasons, 1))]
    return "\n".join(lines).rstrip()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: dict[str, Any], reasons: list[str]) -> str:
    if "no_sense" in cell:
        return f"–<sup>{reasons.index(cell['no_sense']) + 1}</sup>"
    said = "; ".join(_said(cell["said"])) or "it had ended"
    wrong = "".join(f" **{complaint}**" for complaint in cell["complaints"])
    return f"{said} → {cell['ended']} {cell['ended_after_seconds']:.1f} s{wrong}"


def _said(said: list[str]) -> Iterator[str]:
    """Yield each change of /readyz with its time (but for the first), and /livez where it was not 200."""
    before = ""
    for number, line in enumerate(said):
        at, state, ready, live, _ = line.split()
        words = "no /readyz" if ready == NONE else f"{ready} {state}"
        if live != OK:
            words = "neither /readyz nor /livez" if live == ready == NONE else f"{words}, /livez {live}"
        if words != before:
            yield words if number == 0 else f"{words} {float(at):.1f} s"
        before = words


FAULT_TABLES = MadePart("faults.md", "tables", "lab.pages.fault_table", tables)

if __name__ == "__main__":
    sys.exit(FAULT_TABLES.main())
