"""Every rule over the text of one file. Pure: what is read and what is printed is the command's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.lint import build, document, mirror, schema
from ops.lint.findings import RULES, Finding, Options, Place, Problem, Severity, path_text
from ops.lint.kinds import instead, is_build, is_service
from ops.lint.rules import load_all
from ops.lint.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

load_all()
FOREIGN = "kind"
"""The rule that finds what is not linted at all."""
RIGHT_FILE = "Give a service.yaml or a cloudbuild.yaml."


def lint(text: str, file: str, options: Options | None = None) -> list[Finding]:
    """Return what is wrong with a file's text, by line; `file` is only its name in the findings."""
    options = options or Options()
    try:
        documents = document.read(text)
    except document.Unparsable as error:
        fix = "Correct the indentation, brackets or quotes near that line."
        return [Finding("yaml", Severity.ERROR, file, error.line, "(top level)", f"is no YAML: {error.reason}", fix)]
    if not documents:
        return [Finding(FOREIGN, Severity.ERROR, file, 1, "(top level)", "holds no document", RIGHT_FILE)]
    return _in_order(finding for each in documents for finding in _document(each, file, options))


def lint_files(files: Mapping[str, str], options: Options | None = None) -> list[Finding]:
    """Return what is wrong with each file, and between a build and the services it deploys; text by file's name."""
    options = options or Options()
    found: list[Finding] = []
    for file, text in files.items():
        found += _in_order([*lint(text, file, options), *_between(file, files, options)])
    return found


def _between(build_file: str, files: Mapping[str, str], options: Options) -> Iterator[Finding]:
    for each in _readable(files[build_file], is_build):
        given = mirror.substitutions_of(each.value, options)
        for service_file in mirror.deployed(build_file, each.value, given, files):
            for service in _readable(files[service_file], is_service):
                found = mirror.problems(given, View(service.value), service_file)
                yield from (_finding("build-agreement", problem, each, build_file) for problem in found)


def not_compared(files: Mapping[str, str], options: Options) -> Iterator[str]:
    """Yield the builds that were given beside services of which they deploy none: nothing was held against them."""
    services = [file for file, text in files.items() if _readable(text, is_service)]
    for file, text in files.items() if services else ():
        for each in _readable(text, is_build):
            given = mirror.substitutions_of(each.value, options)
            if not mirror.deployed(file, each.value, given, files):
                yield file


def _readable(text: str, is_right: Callable[[Any], bool]) -> list[document.Document]:
    try:
        return [each for each in document.read(text) if is_right(each.value)]
    except document.Unparsable:  # what `lint` reports
        return []


def _in_order(found: Iterable[Finding]) -> list[Finding]:
    return sorted(dict.fromkeys(found), key=lambda each: (each.line, each.rule, each.path, each.reason))


def _finding(name: str, problem: Problem, where: document.Document, file: str) -> Finding:
    line, path = where.line(problem.place), path_text(problem.place)
    return Finding(name, problem.severity, file, line, path, problem.reason, problem.fix)


def _document(each: document.Document, file: str, options: Options) -> Iterator[Finding]:
    for place, line in each.duplicates:
        reason = f"the key {str(place[-1])!r} stands twice here; the last one wins, silently"
        yield Finding(
            "duplicate-key", Severity.ERROR, file, line, path_text(place), reason, "Keep one of them; remove the other."
        )
    for name, problem in problems(each.value, options):
        yield _finding(name, problem, each, file)


def problems(value: Any, options: Options) -> Iterator[tuple[str, Problem]]:
    """Yield each problem of one document's value, with the id of its rule."""
    if is_build(value):
        yield from (("schema", problem) for problem in schema.problems(value, schema.BUILD, "Build"))
        yield from build.problems(value, options)
        return
    if not is_service(value):
        place: Place = ("kind",) if isinstance(value, dict) and "kind" in value else ()
        yield FOREIGN, Problem(place, f"{instead(value)}, which is not linted", RIGHT_FILE)
        return
    yield from (("schema", problem) for problem in schema.problems(value, schema.RUN, "Service"))
    view = View(value)
    for each in RULES.values():
        yield from _named(each.id, each.check(view, options))


def _named(name: str, found: Iterable[Problem]) -> Iterator[tuple[str, Problem]]:
    return ((name, problem) for problem in found)
