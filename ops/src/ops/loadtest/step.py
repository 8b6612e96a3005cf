"""What was measured at one load under one setting: repetitions of it, each with its records."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ops.loadtest import checked, loads, record, words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ops.loadtest.loads import Load
    from ops.loadtest.record import Record


INTERRUPTED = "interrupted"
"""Why a repetition stopped that the operator, or a fault of the whole run, broke off: resuming does it anew."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """One go. Requests meant for [`begin`, `end`) seconds are measured; those before are the warm-up."""

    records: tuple[Record, ...]
    begin: float
    end: float
    stopped: str | None = None

    @property
    def measured(self) -> list[Record]:
        """The records that count, in order of their intended instants."""
        return sorted((r for r in self.records if self.begin <= r.intended < self.end), key=lambda r: r.intended)

    @property
    def seconds(self) -> float:
        """The length of the measured window."""
        return self.end - self.begin

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a run's file."""
        columns = record.to_columns(self.records)
        return {"begin": self.begin, "end": self.end, "stopped": self.stopped, "records": columns}


@dataclass(slots=True)
class Step:
    """One load under one setting. `parallel` is OLLAMA_NUM_PARALLEL where it is known; `skipped` says why not run."""

    parallel: int | None
    load: Load
    repetitions: list[Repetition] = field(default_factory=list)
    skipped: str | None = None
    complete: bool = False

    @property
    def key(self) -> tuple[int | None, Load]:
        """What tells it from the other steps of a run."""
        return self.parallel, self.load

    @property
    def usable(self) -> list[Repetition]:
        """The repetitions that figures are made of: one that was broken off only where there is no whole one."""
        whole = [each for each in self.repetitions if each.stopped != INTERRUPTED]
        return whole or self.repetitions

    @property
    def stopped(self) -> str | None:
        """Why it ended before its time, None where it did not."""
        return next((each.stopped for each in self.usable if each.stopped), None)

    def __str__(self) -> str:
        """Name it as a person would."""
        return str(self.load) if self.parallel is None else f"{self.load}, {words.plural(self.parallel, 'slot')}"

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a run's file."""
        return {
            "parallel": self.parallel,
            "load": self.load.as_json(),
            "complete": self.complete,
            "skipped": self.skipped,
            "stopped": self.stopped,
            "repetitions": [each.as_json() for each in self.repetitions],
        }


def from_json(content: Mapping[str, Any]) -> Step:
    """Read a step of a run's file; raises KeyError, TypeError or ValueError for what is none."""
    text = checked.TEXT + checked.NOTHING
    kinds = {"parallel": (int, *checked.NOTHING), "load": (dict,), "skipped": text, "complete": (bool,)}
    found = checked.of(content, repetitions=(list,), **kinds)
    repetitions = []
    for each in found["repetitions"]:
        part = checked.of(each, records=(dict,), begin=checked.NUMBER, end=checked.NUMBER, stopped=text)
        if part["begin"] > part["end"]:
            raise ValueError("a repetition ends before it begins")
        records = tuple(record.from_columns(part["records"]))
        repetitions.append(Repetition(records, part["begin"], part["end"], part["stopped"]))
    load = loads.from_json(found["load"])
    return Step(found["parallel"], load, repetitions, found["skipped"], found["complete"])
