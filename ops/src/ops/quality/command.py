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
    from collections.abc import Callable

    from rich.console import Console
    from rich.status import Status

    from ops.quality.ask import Answers

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
    """Compare. Returns 0: done; 1: a service failed; 2: bad input; 130: interrupted."""
    try:
        from ops.up.printer import standard_output  # noqa: PLC0415 — rich, which no other command's help needs

        return _run(arguments, console or standard_output())
    except LoadTestError as error:
        sys.stderr.write(f"ops quality: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("ops quality: interrupted; nothing was written\n")
        return INTERRUPTED


def _run(arguments: argparse.Namespace, console: Console) -> int:
    from ops.loadtest import local, stopping  # noqa: PLC0415 — the YAML library
    from ops.quality import show  # noqa: PLC0415

    types = _types(arguments.types)
    if arguments.tokens < 1:
        raise InputError(f"--tokens {arguments.tokens}: expected at least 1")
    questions = _questions(arguments.questions)
    document = local.read(arguments.file)
    answers: dict[str, Answers] = {}
    for name in (kv_cache.REFERENCE, AGAIN, *(each for each in types if each != kv_cache.REFERENCE)):
        console.print(f"{name}: {len(questions)} questions …", style="dim")
        with console.status("starting the service") as status:  # a terminal alone shows it

            def told(number: int, name: str = name, status: Status = status) -> None:
                status.update(f"{name}: {number} of {len(questions)} answered")

            asked = _answers(arguments, document, name.removesuffix(" again"), questions, told)
            answers[name] = asyncio.run(stopping.until_stopped(asked))
    found = show.summaries(answers, kv_cache.REFERENCE)
    console.print(show.table(found, answers))
    for line in show.lines(found):
        console.print(line, soft_wrap=True)
    if arguments.out:
        show.write(arguments.out, questions, answers, found)
    return 0


async def _answers(
    arguments: argparse.Namespace,
    document: dict[str, Any],
    kind: str,
    questions: tuple[str, ...],
    told: Callable[[int], None],
) -> Answers:
    from ops.loadtest import local  # noqa: PLC0415
    from ops.quality import ask  # noqa: PLC0415

    variables = {"OLLAMA_KV_CACHE_TYPE": kind, "OLLAMA_FLASH_ATTENTION": "1"}
    changed = local.adapted(document, arguments.file, parallel=1, concurrency=1, variables=variables)
    async with local.running(changed, arguments.up_options) as (url, service):
        model = arguments.model or await asyncio.to_thread(ask.model_of, url)
        found = await asyncio.to_thread(ask.ask, url, model, questions, arguments.tokens, told)
        service.check()
        return found


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
