"""Every rule over the text of one file. Pure: the command reads and prints."""

from collections.abc import Iterable, Iterator
from typing import Any

from ops.lint import rules
from ops.lint.findings import Finding, Options
from ops.service import document, model, schema
from ops.service.document import Document, Unreadable
from ops.service.problem import Place, Problem, Severity, path_text
from ops.service.structure import KIND

# The rule that finds a file which is not a service.
FOREIGN = "kind"
GROUP = "serving.knative.dev/"
# Kubernetes' own apiVersion: its kind Service is a network address.
CORE_VERSION = "v1"
MOST_NAMES = 5


def lint(text: str, file: str, options: Options | None = None) -> list[Finding]:
    """Return what is wrong with a file's text, by line; `file` is only its name in the findings."""
    try:
        found = document.read(text)
    except Unreadable as error:
        return [unreadable(error, file)]
    by_line = sorted(_findings(found, file, options or Options()), key=lambda each: (each.line, each.rule, each.path))
    return list(dict.fromkeys(by_line))


def unreadable(error: Unreadable, file: str) -> Finding:
    """Return the finding for a file that cannot be read."""
    reason, _, fix = error.reason.partition("; ")
    missing = reason.startswith("cannot be read")
    fix = fix or ("name a service.yaml" if missing else "correct the indentation, brackets or quotes near that line")
    return Finding("yaml", Severity.ERROR, file, error.line, "(top level)", reason, f"{fix[0].upper()}{fix[1:]}.")


def problems(value: Any, options: Options) -> Iterator[tuple[str, Problem]]:
    """Yield each problem of a document's value, with the id of its rule."""
    if not _is_service(value):
        place: Place = ("kind",) if isinstance(value, dict) and "kind" in value else ()
        yield FOREIGN, Problem(place, f"{_instead(value)}, which is not linted", "Give a service.yaml.")
        return
    yield from (("schema", problem) for problem in schema.problems(value, schema.service_types(), "Service"))
    service = model.read(value)
    for each in rules.RULES.values():
        yield from _named(each.id, each.check(service, options))


def _findings(found: Document, file: str, options: Options) -> Iterator[Finding]:
    for place, line in found.duplicates:
        reason = f"the key {str(place[-1])!r} stands twice here; the last one wins silently"
        yield Finding("duplicate-key", Severity.ERROR, file, line, path_text(place), reason, "Remove one of them.")
    for name, problem in problems(found.value, options):
        line, path = found.line(problem.place), path_text(problem.place)
        yield Finding(name, problem.severity, file, line, path, problem.reason, problem.fix)


def _named(name: str, found: Iterable[Problem]) -> Iterator[tuple[str, Problem]]:
    return ((name, problem) for problem in found)


def _is_service(value: Any) -> bool:
    """Whether a document is meant as a Knative service; its kind may be missing or misspelt, which a rule reports."""
    if not isinstance(value, dict):
        return False
    knative = str(value.get("apiVersion")).startswith(GROUP)
    if "kind" not in value:
        return knative or ("spec" in value and "metadata" in value)
    if value["kind"] == KIND:
        return bool(value.get("apiVersion") != CORE_VERSION)
    return knative and str(value["kind"]).lower() == KIND.lower()


def _instead(value: Any) -> str:
    """Return what a document is that is not a service."""
    if not isinstance(value, dict):
        return f"is a {'list' if isinstance(value, list) else 'single value'}"
    if "kind" in value:
        return f"is of kind {value['kind']!r} ({value.get('apiVersion', 'without apiVersion')})"
    if "services" in value:
        return "is a compose file (top-level services:)"
    names = [str(name) for name in value]
    some = ", ".join([*names[:MOST_NAMES], *(["…"] if len(names) > MOST_NAMES else [])])
    return f"is not a Knative service (it has {some or 'nothing'})"
