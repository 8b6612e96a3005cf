"""How `ops` declares a command and its options: each option once, with its type, default and help.

A command is a function; its parameters are its options. `ops/__main__.py` names it, and imports it when it runs::

    app.command("ops.lint.command:run", name="lint", help="Check a service.yaml, offline.")

    def run(
        file: Annotated[Path, option("Service to check.", metavar="FILE")] = Path("service.yaml"),
        /,
        *,
        gpu_quota: Annotated[int, option("GPUs that the region grants.", whole(0, 100), metavar="N")] = 3,
        volume: Annotated[tuple[Volume, ...], repeated("Directory for a volume.", read_volume)] = (),
        strict: Annotated[bool, option("Warnings fail as errors do.")] = False,
    ) -> int:
        '''Check a service.yaml, offline.  (The text of `ops lint --help`; returns the exit status.)'''

Many options are better a frozen dataclass: `@options` above it, its fields annotated in the same way, and the function
takes `(given: Options, /)`. A reader takes the option's text, and raises ValueError("expected …, found …"); the
command then ends with status 2 and `ops lint: --gpu-quota: expected …`. Modules that declare options have no
`from __future__ import annotations`: cyclopts reads the annotations.
"""

import math
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.exceptions import CoercionError, MissingArgumentError, UnusedCliTokensError
from cyclopts.help import HelpPanel, InlineText, PlainFormatter
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

USAGE_ERROR = 2
LABEL_COLUMNS = 30
# Flattens the fields of a frozen dataclass into the options of its command.
options = Parameter(name="*")


def make_app(name: str, description: str) -> App:
    """Return an app, or a command that has commands of its own."""
    return App(
        name=name,
        help=description,
        version_flags=[],
        help_formatter=_Columns(),
        help_format="plaintext",
        default_parameter=Parameter(
            allow_repeating=True, negative_bool=(), negative_iterable=(), show_default=_default
        ),
    )


class _Columns(PlainFormatter):
    """Help in two columns without frames or colours: an option on the left, what it means on the right."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:  # noqa: ARG002 — the base class's
        """Print one group of options, or the commands."""
        if not panel.entries:
            return
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(max_width=LABEL_COLUMNS)
        grid.add_column()
        for entry in panel.entries:
            choices, default = ", ".join(entry.choices or ()), f"default {entry.default}" if entry.default else ""
            notes = "; ".join(filter(None, (choices, default)))
            meaning = entry.description or InlineText(Text())
            meaning.append(Text(f"({notes})" if notes else ""))
            grid.add_row(Text("  " + ", ".join(entry.display_labels_with_metavar)), meaning)
        console.print(Text(f"{panel.title}:"), grid, "")


def option(description: str, read: Callable[[str], Any] | None = None, **more: Any) -> Parameter:
    """Declare an option; `read` turns its text into its value. `more` is what cyclopts's Parameter takes."""
    if read is not None:
        more |= {"converter": lambda _type, tokens: read(tokens[-1].value), "n_tokens": 1, "accepts_keys": False}
    return Parameter(help=description, **more)


def repeated(description: str, read: Callable[[str], Any], **more: Any) -> Parameter:
    """Declare an option that may be given several times; its value is the tuple of what `read` returns for each."""

    def convert(_type: object, tokens: Sequence[Token]) -> tuple[Any, ...]:
        return tuple(read(token.value) for token in tokens)

    return Parameter(help=description, converter=convert, n_tokens=1, accepts_keys=False, **more)


def named(description: str, read: Callable[[str], tuple[str, Any]], **more: Any) -> Parameter:
    """Declare an option NAME=VALUE that may be given several times; its value is the mapping of all of them."""

    def convert(_type: object, tokens: Sequence[Token]) -> dict[str, Any]:
        return dict(read(token.value) for token in tokens)

    return Parameter(help=description, converter=convert, n_tokens=-1, accepts_keys=False, show_default=False, **more)


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number from {low} to {high}, found {text!r}")
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a reader of numbers from `low` to `high`."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not low <= found <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}, found {text!r}")
        return found

    return read


def run(app: App, words: Sequence[str] | None) -> int:
    """Run the command that the words name; returns its exit status, 2 where the words are wrong, 0 for a help text."""
    try:
        status = app(
            list(sys.argv[1:] if words is None else words),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        named = " ".join((*app.name, *(error.command_chain or ())))
        sys.stderr.write(f"{named}: {_reason(error)}; `{named} --help` lists what it takes\n")
        return USAGE_ERROR
    return int(status or 0)


def _reason(error: CycloptsError) -> str:
    name = error.argument.name if error.argument else ""
    match error:
        case CoercionError(msg=str(msg)):
            return f"{name}: {msg}"
        case MissingArgumentError() if name:
            return f"{name} needs a value"
        case UnusedCliTokensError(unused_tokens=[first, *_]):
            return f"unexpected {first!r}"
        case _:
            error.verbose = False
            return " ".join(str(error).split()).rstrip(".")


def _default(value: Any) -> str | None:
    """Write a default for the help text; nothing for what is simply not given."""
    if value is None or value is False or value in ((), ""):
        return None
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value.value if isinstance(value, StrEnum) else f"{value:g}" if isinstance(value, float) else str(value)
