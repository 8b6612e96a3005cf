"""The command line of `ops models`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ops.models.errors import ModelsError
from probe_agent import parse

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130
"""A shell's status for a program that SIGINT ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `ops models` takes: so far, `push`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    push = actions.add_parser(
        "push",
        help="upload a model of the local Ollama store to a bucket",
        description="Upload a model of the local Ollama store to a bucket, in the layout that the sources `gcs` and "
        "`mount` read. Interrupted, the same command goes on.",
    )
    push.add_argument("model", metavar="MODEL", help="as `ollama list` shows it")
    push.add_argument("url", type=_bucket, metavar="gs://BUCKET/PREFIX", help="where the store lies in Cloud Storage")
    push.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="the local store (OLLAMA_MODELS; without it ~/.ollama/models, then ops up's)",
    )


def run(arguments: argparse.Namespace, console: Console | None = None) -> int:
    """Push a model. Returns 0: done; 1: it failed on the way; 2: no such model; 130: interrupted."""
    try:
        from ops.console import standard_output  # noqa: PLC0415
        from ops.models.local import stores  # noqa: PLC0415 — the libraries take a second that no other command needs
        from ops.models.push import push  # noqa: PLC0415

        places = [arguments.store] if arguments.store else stores(os.environ)
        push(arguments.model, arguments.url, places, console or standard_output())
    except ModelsError as error:
        sys.stderr.write(f"ops models push: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("ops models push: interrupted; the same command goes on from here\n")
        return INTERRUPTED
    return 0


def _bucket(text: str) -> str:
    try:
        return parse.bucket(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}, found {text!r}") from None
