"""The command line of `ops lint`, and all of its reading and printing."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ops.lint.findings import Finding, Options, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEAN, FOUND, UNREADABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ops lint`."""
    add = parser.add_argument
    add(
        "files",
        nargs="*",
        type=Path,
        default=[Path("service.yaml")],
        metavar="FILE",
        help="Knative services or Cloud Build configurations (default: service.yaml)",
    )
    add("--format", choices=["text", "json"], default="text", help="for people, or for programs (%(default)s)")
    add("--deploy", action="store_true", help="also what must hold when the file is deployed: images by digest")
    add("--gpu-quota", type=_quota, default=3, metavar="N", help="GPUs that the region grants (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Lint the files. Returns 0: nothing found; 1: findings; 2: a file cannot be read."""
    from ops.lint.engine import lint  # noqa: PLC0415 — the schemas' library, which no other command needs

    options = Options(deploy=arguments.deploy, gpu_quota=arguments.gpu_quota)
    found: list[Finding] = []
    read = 0
    for file in arguments.files:
        try:
            content = file.read_text(encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"ops lint: {file}: cannot be read: {error.strerror}; give the file: ops lint FILE\n")
        except UnicodeDecodeError:
            sys.stderr.write(f"ops lint: {file}: is not UTF-8 text; save it as UTF-8\n")
        else:
            read += 1
            found += lint(content, str(file), options)
    if arguments.format == "json":
        shown = json.dumps([dataclasses.asdict(finding) for finding in found], indent=2, ensure_ascii=False)
    else:
        shown = as_text(found, read)
    sys.stdout.write(shown + "\n")
    return UNREADABLE if read < len(arguments.files) else FOUND if found else CLEAN


def as_text(found: Sequence[Finding], files: int) -> str:
    """Write one block per finding, and a closing line that counts."""
    blocks = [
        f"{each.file}:{each.line}: {each.severity} [{each.rule}]\n"
        f"  at   {each.path}\n  why  {each.reason}\n  fix  {each.fix}\n"
        for each in found
    ]
    errors = sum(each.severity is Severity.ERROR for each in found)
    counts = f"{_count(errors, 'error')}, {_count(len(found) - errors, 'warning')}" if found else "no findings"
    return "\n".join([*blocks, f"{counts} in {_count(files, 'file')}"])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _quota(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of GPUs, found {text!r}")
    return int(text)
