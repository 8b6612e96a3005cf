"""The words of a run's command line, kept in its file: whoever goes on with the run needs none of them again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

from ops.loadtest import options, run
from ops.loadtest.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.loadtest.options import Options


class _Parser(argparse.ArgumentParser):
    """Raises InputError instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def chosen(arguments: argparse.Namespace, words: Sequence[str]) -> Options:
    """Return the options of a run; of one that is resumed those of its file, and `words` must not say otherwise.

    Raises:
        InputError: the file cannot be read, keeps no options, or one that is given differs.

    """
    passing = _passing()
    given = passing.parse_known_args(words)[1]
    if arguments.resume is None:
        return options.from_arguments(arguments, given)
    kept = run.read(arguments.resume)[0].options
    if not kept:
        raise InputError(f"--resume {arguments.resume}: keeps no options, for an older version wrote it; start anew")
    try:
        before = _run_parser().parse_args(kept)
    except InputError as error:
        raise InputError(f"{arguments.resume}: is damaged (options: {error})") from None
    differ = [
        f"{_name(name)}: {_shown(getattr(before, name))} then, {_shown(value)} now"
        for name, value in _given(given).items()
        if value != getattr(before, name)
    ]
    if differ:
        raise InputError(
            f"--resume {arguments.resume}: that run was of other options ({'; '.join(differ)}); leave them out, or "
            "start anew"
        )
    for name in vars(passing.parse_args([])):
        setattr(before, name, getattr(arguments, name))
    return options.from_arguments(before, kept)


def _passing() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False)
    options.add_passing_arguments(parser)
    return parser


def _run_parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False)
    options.add_run_arguments(parser)
    return parser


def _given(words: Sequence[str]) -> dict[str, Any]:
    """Return what the words name, without defaults."""
    parser = _run_parser()
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args([]))))
    return {name: value for name, value in vars(parser.parse_args(words)).items() if value is not None}


def _name(name: str) -> str:
    return "URL" if name == "url" else f"--{name.replace('_', '-')}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
