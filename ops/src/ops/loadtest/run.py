"""A run, and the file that holds everything of it: written after each repetition, so that nothing measured is lost."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops.loadtest import checked, limits, step
from ops.loadtest.errors import InputError, LoadTestError

if TYPE_CHECKING:
    from ops.loadtest.limits import Limit
    from ops.loadtest.step import Step

SCHEMA = "probe-agent/loadtest/1"
"""Raised with every change that an older reader would misread."""


def now() -> str:
    """Return the wall clock, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(slots=True)
class Run:
    """What was asked for, where, and what came of it. `settings` and `environment` are JSON."""

    settings: dict[str, Any]
    environment: dict[str, Any]
    label: str = ""
    steps: list[Step] = field(default_factory=list)
    salts: list[str] = field(default_factory=list)
    """What made prompts new to the server: one for the run, and one more for each time that it was resumed."""
    started: str = field(default_factory=now)
    ended: str | None = None
    failure: str | None = None
    """Why the run ended before its time, None where it did not."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know beside the figures."""
    options: list[str] = field(default_factory=list)
    """The words of the command line, for who resumes it."""

    def find(self, key: object) -> Step | None:
        """Return the step of that setting and load, None where there is none yet."""
        return next((each for each in self.steps if each.key == key), None)

    def as_json(self) -> dict[str, Any]:
        """Return what a run's file holds while it is measured; the figures and the choice are added at its end."""
        return {
            "schema": SCHEMA,
            "label": self.label,
            "started": self.started,
            "ended": self.ended,
            "failure": self.failure,
            "notes": self.notes,
            "options": self.options,
            "settings": self.settings,
            "environment": self.environment,
            "salts": self.salts,
            "steps": [each.as_json() for each in self.steps],
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """With which limits and which price of an instance a run was judged; none before its end."""

    limits: tuple[Limit, ...]
    usd_per_second: float | None


def read(path: Path) -> tuple[Run, Judged]:
    """Read a run's file; returns the run, and how it was judged.

    Raises:
        InputError: it cannot be read, or is no run of this version.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'is not UTF-8'})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error}); give the run.json of a load test") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path}: is no load test's run ({SCHEMA}), its schema is {str(schema)[:60]!r}")
    try:
        return _run(content), _judged(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: is damaged ({type(error).__name__}: {error})") from error


def _run(content: dict[str, Any]) -> Run:
    maybe = checked.TEXT + checked.NOTHING
    kinds = {"label": checked.TEXT, "started": checked.TEXT, "ended": maybe, "failure": maybe}
    found = checked.of(content, settings=(dict,), environment=(dict,), steps=(list,), salts=(list,), **kinds)
    checked.value("loaded", found["environment"].get("loaded"), (dict, *checked.NOTHING))
    notes, options = (checked.texts(name, content.get(name, [])) for name in ("notes", "options"))
    steps = [step.from_json(each) for each in found.pop("steps")]
    if len({each.key for each in steps}) < len(steps):
        raise ValueError("a step stands there twice")
    return Run(**found, steps=steps, notes=notes, options=options)


def _judged(content: dict[str, Any]) -> Judged:
    wanted = checked.value("limits", content.get("limits", []), (list,))
    found = checked.value("conclusion", content.get("conclusion"), (dict, *checked.NOTHING)) or {}
    price = checked.value("usd_per_second", found.get("usd_per_second"), checked.NUMBER + checked.NOTHING)
    return Judged(tuple(limits.parse(checked.value("limits", each, checked.TEXT)) for each in wanted), price)


def write(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all; raises LoadTestError where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            json.dump(content, file, separators=(",", ":"), allow_nan=False, default=str)
        Path(file.name).chmod(0o644)
        os.replace(file.name, path)  # noqa: PTH105 — the same, and atomic
    except OSError as error:
        raise LoadTestError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
