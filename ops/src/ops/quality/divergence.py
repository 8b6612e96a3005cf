"""How far two answers agree. Pure; an answer is the list of its pieces, one token each, as the server streams them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two answers to one question. `first_difference` counts tokens from 0, None where there is none."""

    exact: bool
    first_difference: int | None
    # Of the longer answer's tokens, the share before the first difference: 1 where they are the same.
    same_share: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All questions. `median_difference` is of those that differ, None where none does."""

    questions: int
    exact: int
    same_share: float
    median_difference: float | None


def agreement(reference: Sequence[str], answer: Sequence[str]) -> Agreement:
    """Hold an answer against the reference. After the first difference the two go on from other texts: no comparing."""
    common = next(
        (index for index, (ours, theirs) in enumerate(zip(reference, answer, strict=False)) if ours != theirs),
        min(len(reference), len(answer)),
    )
    longest = max(len(reference), len(answer))
    exact = common == longest
    return Agreement(exact, None if exact else common, common / longest if longest else 1.0)


def summary(agreements: Sequence[Agreement]) -> Summary:
    """Sum up; there is at least one."""
    differences = [each.first_difference for each in agreements if each.first_difference is not None]
    return Summary(
        questions=len(agreements),
        exact=sum(each.exact for each in agreements),
        same_share=sum(each.same_share for each in agreements) / len(agreements),
        median_difference=median(differences) if differences else None,
    )
