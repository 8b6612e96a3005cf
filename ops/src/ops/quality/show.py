"""What a comparison of KV cache types found: for people, and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from ops.loadtest import run
from ops.quality import divergence
from ops.quality.ask import Answers
from ops.quality.divergence import Summary

SCHEMA = "probe-agent/quality/1"
MEMORY = "memory, by Ollama's own figure*"


def summaries(answers: Mapping[str, Answers], reference: str) -> dict[str, Summary]:
    """Hold each type's answers against the reference's, as far as both have answered."""
    right = answers[reference].pieces
    return {
        name: divergence.summary([divergence.agreement(*pair) for pair in zip(right, each.pieces, strict=False)])
        for name, each in answers.items()
        if name != reference and right and each.pieces
    }


def table(found: Mapping[str, Summary], answers: Mapping[str, Answers], *, partial: bool = False) -> Table:
    """Return one line for each type; `partial` says in its title that not all was asked."""
    title = "answers, held against f16" + (" (partial: not every question was asked)" if partial else "")
    result = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    for name in ("KV cache", "the same", "same tokens", "first difference", MEMORY):
        result.add_column(name, justify="left" if name == "KV cache" else "right")
    for name, each in found.items():
        difference = "–" if each.median_difference is None else f"token {each.median_difference:g}"
        memory = answers[name].memory_bytes
        size = "–" if memory is None else f"{memory / 1e6:.0f} MB"
        result.add_row(name, f"{each.exact} of {each.questions}", f"{each.same_share:.0%}", difference, size)
    return result


def lines(found: Mapping[str, Summary]) -> list[str]:
    """Say how the table is read."""
    again = next(iter(found.values()))
    steady = again.exact == again.questions
    return [
        "the same: word for word; same tokens: before the first difference, of the longer answer; the last is a median",
        "* /api/ps, which leaves out part of a cache with a sliding window: docs/capacity.md has what each type takes",
        "f16 twice gave the same answers: what differs is the cache's doing"
        if steady
        else f"f16 itself gave {again.questions - again.exact} other answers the second time: that much is noise",
    ]


def write(
    path: Path,
    questions: Sequence[str],
    answers: Mapping[str, Answers],
    found: Mapping[str, Summary],
    failure: str | None = None,
) -> None:
    """Write everything, and why it is not all, None where it is; raises LoadTestError where it cannot be."""
    content = {
        "schema": SCHEMA,
        "failure": failure,
        "questions": list(questions),
        "answers": {name: ["".join(pieces) for pieces in each.pieces] for name, each in answers.items()},
        "memory_bytes": {name: each.memory_bytes for name, each in answers.items()},
        "agreement": {name: asdict(each) for name, each in found.items()},
    }
    run.write(path, content)
