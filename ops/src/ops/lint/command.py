"""The command line of `ops lint`, and all of its reading and printing."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ops.lint import engine
from ops.lint.findings import Finding, Options
from ops.service import document
from ops.service.problem import Severity

CLEAN, FOUND, UNREADABLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ops lint`."""
    parser.epilog = (
        "Exit status: 0 no errors (warnings alone are 0, with --strict 1), 1 errors, 2 a file that cannot be read or "
        "is not a Knative service."
    )
    add = parser.add_argument
    add("files", nargs="*", type=Path, default=[Path("service.yaml")], metavar="FILE", help="(default: service.yaml)")
    add("--format", choices=["text", "json"], default="text", help="output for people or for programs (%(default)s)")
    add("--deploy", action="store_true", help="also the rules of a deployment: images by digest, no placeholders")
    add("--strict", action="store_true", help="exit status 1 for warnings too")
    add("--gpu-quota", type=_quota, default=3, metavar="N", help="GPUs that the region grants (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Lint the files. Returns 0: no errors; 1: errors, or with --strict warnings; 2: a file is not linted."""
    options = Options(arguments.deploy, arguments.gpu_quota)
    files = dict.fromkeys(arguments.files)
    found = [finding for file in files for finding in _lint(file, options)]
    skipped = [each for each in found if each.rule in (engine.FOREIGN, "yaml")]
    for each in skipped:
        fix = each.fix[0].lower() + each.fix[1:].rstrip(".")
        sys.stderr.write(f"ops lint: {each.file}:{each.line}: {each.reason}; {fix}\n")
    found = [each for each in found if each not in skipped]
    linted = len(files) - len(skipped)
    if arguments.format == "json":
        listed = [dataclasses.asdict(finding) for finding in found]
        sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
    elif linted:
        sys.stdout.write(as_text(found, linted) + "\n")
    if skipped:
        return UNREADABLE
    return FOUND if any(arguments.strict or each.severity is Severity.ERROR for each in found) else CLEAN


def _lint(file: Path, options: Options) -> list[Finding]:
    try:
        return engine.lint(document.read_file(file), str(file), options)
    except document.Unreadable as error:
        return [engine.unreadable(error, str(file))]


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
