"""A run, and the file that holds all of it: written after each repetition, so that nothing measured is lost."""

import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ops.loadtest import limits
from ops.loadtest.errors import InputError, LoadTestError
from ops.loadtest.limits import Limit
from ops.loadtest.record import Step

# Raised with every change that an older reader would misread.
SCHEMA = "probe-agent/loadtest/2"


def now() -> str:
    """Return the wall clock, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(slots=True, kw_only=True)
class Run:
    """What was asked for, where, and what came of it. `settings` and `environment` are JSON."""

    settings: dict[str, Any]
    environment: dict[str, Any]
    schema: str = SCHEMA
    label: str = ""
    steps: list[Step] = field(default_factory=list)
    # What makes this run's prompts new to the server.
    salt: str = ""
    started: str = field(default_factory=now)
    ended: str | None = None
    # Why the run ended before its time, None where it did not.
    failure: str | None = None
    # What a reader must know beside the figures.
    notes: list[str] = field(default_factory=list)

    def find(self, key: object) -> Step | None:
        """Return the step of that setting and load, None where there is none."""
        return next((each for each in self.steps if each.key == key), None)

    def as_json(self) -> dict[str, Any]:
        """Return what a run's file holds while it is measured; the figures and the choice are added at its end."""
        content: dict[str, Any] = msgspec.to_builtins(self, enc_hook=str)
        for step, written in zip(self.steps, content["steps"], strict=True):
            written["stopped"] = step.stopped
        return content


@dataclass(frozen=True, slots=True)
class Judged:
    """With which limits and which price of an instance a run was judged; none before its end."""

    limits: tuple[Limit, ...]
    usd_per_second: float | None


@dataclass(frozen=True, slots=True)
class _Conclusion:
    usd_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class _Judgement:
    limits: tuple[str, ...] = ()
    conclusion: _Conclusion = _Conclusion()


def read(path: Path) -> tuple[Run, Judged]:
    """Read a run's file; returns the run, and how it was judged.

    Raises:
        InputError: it cannot be read, or is no run of this version.

    """
    try:
        content = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the run.json of a load test") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}); give the run.json of a load test") from error
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise InputError(f"{path}: is not a load test's run ({SCHEMA}), its schema is {str(schema)[:60]!r}")
    try:
        judged = msgspec.convert(content, _Judgement)
        wanted = tuple(limits.parse(each) for each in judged.limits)
        return msgspec.convert(content, Run), Judged(wanted, judged.conclusion.usd_per_second)
    except ValueError as error:  # msgspec's name the place: Expected `float`, got `str` - at `$.steps[0].load.level`
        raise InputError(f"{path}: is damaged ({error}); measure again") from error


def write(path: Path, content: object) -> None:
    """Write a file whole or not at all; raises LoadTestError where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(msgspec.json.encode(content, enc_hook=str))
        Path(file.name).chmod(0o644)
        os.replace(file.name, path)  # noqa: PTH105 — the same, and atomic
    except OSError as error:
        raise LoadTestError(f"{path}: cannot be written ({error.strerror}); choose another --out") from error
