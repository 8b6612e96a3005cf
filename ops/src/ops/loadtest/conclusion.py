"""What a run comes to: every step with its cost, the knee, and the rule of thumb beside it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.cloudrun.prices import HOUR_SECONDS, usd_per_million_tokens
from ops.cloudrun.scaling import rule_of_thumb
from ops.loadtest import figures, knee
from ops.loadtest.knee import Choice, Measured
from ops.loadtest.limits import Limit
from ops.loadtest.loads import Loop
from ops.loadtest.run import Run


@dataclass(frozen=True, slots=True)
class Rule:
    """The numbers of the rule of thumb; `batch` None: the slots."""

    models: int = 1
    batch: int | None = None

    def value(self, parallel: int) -> int:
        """Return (models x parallel) + (models x batch)."""
        return rule_of_thumb(self.models, parallel, self.batch)

    def words(self, parallel: int) -> str:
        """Return the calculation as people write it."""
        batch = parallel if self.batch is None else self.batch
        return f"{self.models} × {parallel} + {self.models} × {batch} = {self.value(parallel)}"


@dataclass(frozen=True, slots=True)
class ByRule:
    """The rule's value for one number of slots, and what was measured at it, where it was."""

    parallel: int
    value: int
    words: str
    measured: Measured | None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """All of it. `usd_per_second` is one instance's price, None where none is known."""

    measured: tuple[Measured, ...]
    choice: Choice
    rules: tuple[ByRule, ...]
    usd_per_second: float | None

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in a run's file."""
        return self.choice.as_json() | {
            "usd_per_second": self.usd_per_second,
            "rule_of_thumb": [
                {
                    "OLLAMA_NUM_PARALLEL": each.parallel,
                    "containerConcurrency": each.value,
                    "measured": each.measured is not None,
                }
                for each in self.rules
            ],
        }


def conclude(run: Run, limits: Sequence[Limit], rule: Rule, usd_per_second: float | None) -> Conclusion:
    """Work out the figures of every step that was measured, and choose."""
    measured = []
    for step in run.steps:
        found = figures.of(step.usable, limits)
        price = None
        if usd_per_second is not None and "tokens_per_second" in found and found["tokens_per_second"].value > 0:
            price = found["tokens_per_second"].under(usd_per_million_tokens(usd_per_second * HOUR_SECONDS, 1.0))
        if step.repetitions:
            measured.append(knee.Measured(step.parallel, step.load, step.stopped, found, price))
    slots = sorted({step.parallel for step in run.steps if step.parallel is not None})
    rules = tuple(
        ByRule(parallel, rule.value(parallel), rule.words(parallel), _at(measured, parallel, rule.value(parallel)))
        for parallel in slots
    )
    return Conclusion(tuple(measured), knee.choose(measured, limits), rules, usd_per_second)


def file_of(run: Run, limits: Sequence[Limit], conclusion: Conclusion) -> dict[str, Any]:
    """Return the whole file of a finished run; figures are in seconds, requests and tokens a second, shares."""
    content = run.as_json() | {"limits": [limit.text for limit in limits], "conclusion": conclusion.as_json()}
    known = {(each.parallel, each.load): each for each in conclusion.measured}
    for step, written in zip(run.steps, content["steps"], strict=True):
        if measured := known.get(step.key):
            written["figures"] = dict(measured.figures)
            written["errors"] = figures.errors(step.usable)
            written["usd_per_million_tokens"] = measured.usd_per_million_tokens
    return content


def _at(measured: Sequence[Measured], parallel: int, value: int) -> Measured | None:
    for each in measured:
        if each.parallel == parallel and each.load.loop is Loop.CLOSED and each.load.level == value and each.figures:
            return each
    return None
