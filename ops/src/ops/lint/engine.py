"""Every rule over the text of one file. Pure: what is read and what is printed is the command's business."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.lint import build, document, schema
from ops.lint.findings import RULES, Finding, Options, Place, Problem, Severity, path_text
from ops.lint.rules import load_all
from ops.lint.view import View

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

load_all()
SERVICE_KIND, SERVICE_VERSION = "Service", "serving.knative.dev/v1"


def lint(text: str, file: str, options: Options | None = None) -> list[Finding]:
    """Return what is wrong with a file's text, by line; `file` is only its name in the findings."""
    options = options or Options()
    try:
        documents = document.read(text)
    except document.Unparsable as error:
        fix = "Correct the indentation, brackets or quotes near that line."
        return [Finding("yaml", Severity.ERROR, file, error.line, "(top level)", f"is no YAML: {error.reason}", fix)]
    if not documents:
        fix = "Give a Knative service or a Cloud Build configuration."
        return [Finding("yaml", Severity.ERROR, file, 1, "(top level)", "holds no document", fix)]
    found = [finding for each in documents for finding in _document(each, file, options)]
    return sorted(dict.fromkeys(found), key=lambda finding: (finding.line, finding.rule, finding.path, finding.reason))


def _document(each: document.Document, file: str, options: Options) -> Iterator[Finding]:
    for place, line in each.duplicates:
        reason = f"the key {str(place[-1])!r} stands twice here; the last one wins, silently"
        yield Finding(
            "duplicate-key", Severity.ERROR, file, line, path_text(place), reason, "Keep one of them; remove the other."
        )
    for name, problem in problems(each.value, options):
        line, path = each.line(problem.place), path_text(problem.place)
        yield Finding(name, problem.severity, file, line, path, problem.reason, problem.fix)


def problems(value: Any, options: Options) -> Iterator[tuple[str, Problem]]:
    """Yield each problem of one document's value, with the id of its rule."""
    if build.looks_like_build(value):
        yield from (("schema", problem) for problem in schema.problems(value, schema.BUILD, "Build"))
        yield from build.problems(value, options)
        return
    if not isinstance(value, dict) or value.get("kind", SERVICE_KIND) != SERVICE_KIND:
        kind = value.get("kind") if isinstance(value, dict) else None
        place: Place = ("kind",) if kind else ()
        reason = f"expected a Knative service (kind: Service), found {kind or 'something else'!r}"
        yield "kind", Problem(place, reason, "Give a service.yaml or a cloudbuild.yaml.")
        return
    yield from (("schema", problem) for problem in schema.problems(value, schema.RUN, "Service"))
    view = View(value)
    for each in RULES.values():
        yield from _named(each.id, each.check(view, options))


def _named(name: str, found: Iterable[Problem]) -> Iterator[tuple[str, Problem]]:
    return ((name, problem) for problem in found)
