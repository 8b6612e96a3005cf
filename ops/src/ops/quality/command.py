"""`ops quality`: each type of KV cache in turn, on a service of this machine."""

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console

from ops import kv_cache
from ops.cli import option, whole
from ops.console import standard_output
from ops.loadtest import local, readers, stopping
from ops.loadtest.errors import InputError, LoadTestError
from ops.loadtest.local import LocalService
from ops.loadtest.workload import text_lines
from ops.quality import ask, show
from ops.quality.ask import Answers
from ops.quality.progress import Display
from ops.quality.questions import QUESTIONS

INTERRUPTED = 130
# The reference once more: what differs there is the machine's own noise, not the cache's.
AGAIN = f"{kv_cache.REFERENCE} again"


def read_types(text: str) -> tuple[str, ...]:
    """Read names of KV cache types with commas between, each once."""
    types = tuple(dict.fromkeys(text.split(",")))
    known = (*kv_cache.DOCUMENTED, *kv_cache.MORE)
    if unknown := [each for each in types if each not in known]:
        raise ValueError(f"expected types from {','.join(known)}, found {unknown[0]!r}")
    return types


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared: the service, the types of KV cache, and what each is asked."""

    service: LocalService
    types: tuple[str, ...]
    questions: tuple[str, ...]
    tokens: int
    model: str | None
    up_options: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The rounds, in order: the reference twice, then the others."""
        others = (each for each in self.types if each != kv_cache.REFERENCE)
        return (kv_cache.REFERENCE, AGAIN, *others)


def run(
    file: Annotated[Path, option("service.yaml, which runs here once for each type.", metavar="FILE")] = Path(
        "service.yaml"
    ),
    /,
    *,
    types: Annotated[
        tuple[str, ...], option("KV cache types to compare with f16.", read_types, metavar="T,T")
    ] = kv_cache.DOCUMENTED,
    tokens: Annotated[int, option("Tokens per answer, at most.", whole(1, 1_000_000), metavar="N")] = 64,
    questions: Annotated[
        Path | None, option("File with one question a line (default: twenty of our own).", metavar="FILE")
    ] = None,
    model: Annotated[str | None, option("Model to ask (default: the one that is loaded).", metavar="NAME")] = None,
    up_options: Annotated[
        tuple[str, ...],
        option(
            "Options for `ops up`: --up-options=--standin.", readers.words, metavar="TEXT", allow_leading_hyphen=True
        ),
    ] = (),
    out: Annotated[Path | None, option("File for answers and figures as JSON.", metavar="FILE")] = None,
) -> int:
    """Answer the same questions with each type of KV cache, and compare the answers with those of f16.

    Exit status: 0 done, 1 a service failed, 2 bad input, 130 interrupted. What was answered is shown and kept.
    """
    try:
        comparison = Comparison(local.read(file), types, _questions(questions), tokens, model, up_options)
        return compare(comparison, out, standard_output())
    except LoadTestError as error:
        sys.stderr.write(f"ops quality: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("ops quality: interrupted; nothing was written\n")
        return INTERRUPTED


def compare(comparison: Comparison, out: Path | None, console: Console) -> int:
    """Ask everything, show the comparison, and write it; raises LoadTestError after showing what was answered."""
    answers: dict[str, Answers] = {}
    failure: LoadTestError | None = None
    with Display(console, comparison.names, len(comparison.questions)) as display:
        try:
            asyncio.run(stopping.until_stopped(_ask_all(comparison, answers, display)))
        except LoadTestError as error:
            failure = error
    answered = any(each.pieces for each in answers.values())
    if answered:
        _finish(comparison, out, console, answers, failure)
    if isinstance(failure, stopping.Stopped) and answered:
        kept = f"kept in {out}" if out else "shown above; --out FILE would have kept it"
        raise stopping.Stopped(f"interrupted; what was answered so far is {kept}")
    if failure is not None:
        raise failure
    return 0


def _finish(
    comparison: Comparison,
    out: Path | None,
    console: Console,
    answers: dict[str, Answers],
    failure: LoadTestError | None,
) -> None:
    """Show and write what was answered, all or a part."""
    found = show.summaries(answers, kv_cache.REFERENCE)
    if found:
        console.print(show.table(found, answers, partial=failure is not None))
        for line in show.lines(found):
            console.print(line, soft_wrap=True)
    else:
        console.print("nothing to compare yet: only f16 has answered")
    if out:
        show.write(out, comparison.questions, answers, found, None if failure is None else str(failure))


async def _ask_all(comparison: Comparison, answers: dict[str, Answers], display: Display) -> None:
    """Ask each type on a service of its own; what is answered stands in `answers` at once."""
    for name in comparison.names:
        display.starts(name)
        answers[name] = into = Answers()
        variables = {"OLLAMA_KV_CACHE_TYPE": name.removesuffix(" again"), "OLLAMA_FLASH_ATTENTION": "1"}
        changed = local.adapted(comparison.service, parallel=1, concurrency=1, variables=variables)
        async with local.running(changed, comparison.up_options) as (url, service):
            model = comparison.model
            if model is None:
                model = await asyncio.to_thread(ask.model_of, url)
            asked, tokens = comparison.questions, comparison.tokens
            await asyncio.to_thread(ask.ask, url, model, asked, tokens, into, display.answered)
            service.check()
        display.ends()


def _questions(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return QUESTIONS
    found = tuple(line.strip() for line in text_lines(path, "--questions") if line.strip())
    if not found:
        raise InputError(f"--questions {path}: has no line; write one question a line")
    return found
