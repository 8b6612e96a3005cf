"""The command line of `ops lint`, and all of its reading and printing."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from ops.cli import option, whole
from ops.lint import engine
from ops.lint.findings import Finding, Options
from ops.service import document
from ops.service.problem import Severity

CLEAN, FOUND, UNREADABLE = 0, 1, 2


def _format(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError(f"expected text or json, found {text!r}")
    return text


def run(
    *files: Annotated[Path, option("Services to check (default: service.yaml).", metavar="FILE")],
    output: Annotated[
        str, option("Output for people (text) or programs (json).", _format, name="--format", metavar="FORMAT")
    ] = "text",
    deploy: Annotated[bool, option("Also the rules of a deployment: images by digest, no placeholders.")] = False,
    strict: Annotated[bool, option("Exit status 1 for warnings, too.")] = False,
    gpu_quota: Annotated[int, option("GPUs that the region grants.", whole(0, 100_000), metavar="N")] = 3,
) -> int:
    """Check a service.yaml, offline.

    Exit status: 0 no errors (warnings alone are 0, with --strict 1), 1 errors, 2 a file that cannot be read or is not a
    Knative service.
    """
    options = Options(deploy, gpu_quota)
    named = dict.fromkeys(files or (Path("service.yaml"),))
    found = [finding for file in named for finding in _lint(file, options)]
    skipped = [each for each in found if each.rule in (engine.FOREIGN, "yaml")]
    for each in skipped:
        fix = each.fix[0].lower() + each.fix[1:].rstrip(".")
        sys.stderr.write(f"ops lint: {each.file}:{each.line}: {each.reason}; {fix}\n")
    found = [each for each in found if each not in skipped]
    linted = len(named) - len(skipped)
    if output == "json":
        listed = [dataclasses.asdict(finding) for finding in found]
        sys.stdout.write(json.dumps(listed, indent=2, ensure_ascii=False) + "\n")
    elif linted:
        sys.stdout.write(as_text(found, linted) + "\n")
    if skipped:
        return UNREADABLE
    return FOUND if any(strict or each.severity is Severity.ERROR for each in found) else CLEAN


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
