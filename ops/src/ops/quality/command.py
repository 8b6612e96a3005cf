"""The command line of `ops quality`: each type of KV cache in turn, on a service of this machine."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ops import kv_cache
from ops.loadtest.errors import InputError, LoadTestError

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from ops.quality.ask import Answers
    from ops.quality.progress import Display

INTERRUPTED = 130
AGAIN = f"{kv_cache.REFERENCE} again"
"""The reference once more: what differs there is the machine's own noise, not the cache's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `ops quality` takes."""
    add = parser.add_argument
    file = "a service.yaml, which is run here once for each type (%(default)s)"
    add("file", nargs="?", type=Path, default=Path("service.yaml"), metavar="FILE", help=file)
    add(
        "--types",
        default=",".join(kv_cache.DOCUMENTED),
        metavar="T,T",
        help="KV cache types, held against f16 (%(default)s)",
    )
    add("--tokens", type=int, default=64, metavar="N", help="the most of each answer (%(default)s)")
    add("--questions", type=Path, metavar="FILE", help="one question a line (default: a small set of our own)")
    add("--model", metavar="NAME", help="the model to ask (default: the one that is loaded)")
    add("--up-options", type=shlex.split, default=[], metavar="TEXT", help="for `ops up`, as --up-options=--standin")
    add("--out", type=Path, metavar="FILE", help="write answers and figures as JSON")


def run(arguments: argparse.Namespace, console: Console | None = None) -> int:
    """Compare. Returns 0: done; 1: a service failed; 2: bad input; 130: interrupted, what was answered is kept."""
    try:
        from ops.console import standard_output  # noqa: PLC0415 — rich, which no other command's help needs

        return _run(arguments, console or standard_output())
    except LoadTestError as error:
        sys.stderr.write(f"ops quality: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("ops quality: interrupted; nothing was written\n")
        return INTERRUPTED


def _run(arguments: argparse.Namespace, console: Console) -> int:
    from ops.loadtest import local, stopping  # noqa: PLC0415 — the YAML library
    from ops.quality.progress import Display  # noqa: PLC0415

    types = _types(arguments.types)
    if arguments.tokens < 1:
        raise InputError(f"--tokens {arguments.tokens}: expected at least 1")
    questions = _questions(arguments.questions)
    document = local.read(arguments.file)
    names = (kv_cache.REFERENCE, AGAIN, *(each for each in types if each != kv_cache.REFERENCE))
    answers: dict[str, Answers] = {}
    failure: LoadTestError | None = None
    with Display(console, names, len(questions)) as display:
        try:
            asyncio.run(stopping.until_stopped(_ask_all(arguments, document, names, questions, answers, display)))
        except LoadTestError as error:
            failure = error
    if any(each.pieces for each in answers.values()):
        _finish(arguments, console, questions, answers, failure)
    if isinstance(failure, stopping.Stopped) and any(each.pieces for each in answers.values()):
        kept = f"kept in {arguments.out}" if arguments.out else "shown above; --out FILE would have kept it"
        raise stopping.Stopped(f"interrupted; what was answered so far is {kept}")
    if failure is not None:
        raise failure
    return 0


def _finish(
    arguments: argparse.Namespace,
    console: Console,
    questions: tuple[str, ...],
    answers: dict[str, Answers],
    failure: LoadTestError | None,
) -> None:
    """Show and write what was answered, all or a part."""
    from ops.quality import show  # noqa: PLC0415

    found = show.summaries(answers, kv_cache.REFERENCE)
    if found:
        console.print(show.table(found, answers, partial=failure is not None))
        for line in show.lines(found):
            console.print(line, soft_wrap=True)
    else:
        console.print("nothing to compare yet: only f16 has answered")
    if arguments.out:
        show.write(arguments.out, questions, answers, found, None if failure is None else str(failure))


async def _ask_all(
    arguments: argparse.Namespace,
    document: dict[str, Any],
    names: tuple[str, ...],
    questions: tuple[str, ...],
    answers: dict[str, Answers],
    display: Display,
) -> None:
    """Ask each type on a service of its own; what is answered stands in `answers` at once."""
    from ops.loadtest import local  # noqa: PLC0415
    from ops.quality import ask  # noqa: PLC0415

    for name in names:
        display.starts(name)
        answers[name] = into = ask.Answers()
        variables = {"OLLAMA_KV_CACHE_TYPE": name.removesuffix(" again"), "OLLAMA_FLASH_ATTENTION": "1"}
        changed = local.adapted(document, arguments.file, parallel=1, concurrency=1, variables=variables)
        async with local.running(changed, arguments.up_options) as (url, service):
            model = arguments.model or await asyncio.to_thread(ask.model_of, url)
            await asyncio.to_thread(ask.ask, url, model, questions, arguments.tokens, into, display.answered)
            service.check()
        display.ends()


def _types(text: str) -> tuple[str, ...]:
    types = tuple(dict.fromkeys(text.split(",")))
    known = (*kv_cache.DOCUMENTED, *kv_cache.MORE)
    if unknown := [each for each in types if each not in known]:
        raise InputError(f"--types {text}: there is no KV cache type {unknown[0]!r}; expected of {','.join(known)}")
    return types


def _questions(path: Path | None) -> tuple[str, ...]:
    from ops.quality.questions import QUESTIONS  # noqa: PLC0415

    if path is None:
        return QUESTIONS
    try:
        found = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise InputError(f"--questions {path}: cannot be read ({why})") from error
    if not found:
        raise InputError(f"--questions {path}: holds no line; write one question a line")
    return found
