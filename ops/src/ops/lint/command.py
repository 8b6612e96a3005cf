"""The command line of `ops lint`, and all of its reading and printing."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ops.lint.findings import Finding, Options, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

CLEAN, FOUND, UNREADABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ops lint`."""
    parser.epilog = (
        "Exit status: 0 no errors (warnings alone are 0 too, but with --strict 1), 1 errors, "
        "2 a file cannot be read or is neither a Knative service nor a Cloud Build configuration."
    )
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
    add(
        "--deploy",
        action="store_true",
        help="also what must hold at a deployment: images by digest, no placeholders",
    )
    add(
        "--substitution",
        action="append",
        default=[],
        type=_substitution,
        metavar="_NAME=VALUE",
        help="what the build is submitted with, in place of its file's own; may be given repeatedly",
    )
    add("--strict", action="store_true", help="warnings fail as errors do")
    add("--gpu-quota", type=_quota, default=3, metavar="N", help="GPUs that the region grants (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Lint the files. Returns 0: no errors; 1: errors, or with --strict warnings; 2: a file is not linted."""
    from ops.lint.engine import FOREIGN, lint_files, not_compared  # noqa: PLC0415 — the schemas' library: no other command needs it

    options = Options(arguments.deploy, arguments.gpu_quota, dict(arguments.substitution))
    read = _read(arguments.files)
    found = lint_files(read, options)
    foreign = [each for each in found if each.rule == FOREIGN]
    for each in foreign:
        fix = each.fix[0].lower() + each.fix[1:].rstrip(".")
        sys.stderr.write(f"ops lint: {each.file}:{each.line}: {each.reason}; {fix}\n")
    found = [each for each in found if each.rule != FOREIGN]
    linted = len(read) - len({each.file for each in foreign})
    if arguments.format == "json":
        listed = [dataclasses.asdict(finding) for finding in found]
        sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
    elif linted or found:
        sys.stdout.write(as_text(found, linted) + "\n")
    for build in not_compared(read, options):
        way = "name its service by --substitution _SERVICE_FILE=FILE"
        sys.stderr.write(f"ops lint: {build} deploys none of the services given: it was not held against them; {way}\n")
    if foreign or len(read) < len(set(arguments.files)):
        return UNREADABLE
    return FOUND if any(arguments.strict or each.severity is Severity.ERROR for each in found) else CLEAN


def _read(files: Sequence[Path]) -> dict[str, str]:
    """Return the texts of the files that can be read, by name, and say of the others why not."""
    texts = {}
    for file in files:
        try:
            texts[str(file)] = file.read_text(encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"ops lint: {file}: cannot be read: {error.strerror}; give the file: ops lint FILE\n")
        except UnicodeDecodeError:
            sys.stderr.write(f"ops lint: {file}: is not UTF-8 text; save it as UTF-8\n")
    return texts


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


def _substitution(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"_[A-Z0-9_]+", name):
        raise argparse.ArgumentTypeError(f"expected _NAME=VALUE, found {text!r}")
    return name, value


def _quota(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of GPUs, found {text!r}")
    return int(text)
