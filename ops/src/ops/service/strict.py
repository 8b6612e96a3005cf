"""A service that is going to be run: the first error of the file is raised, in one line."""

from collections.abc import Iterator
from pathlib import Path

from ops.service import document, model, schema, structure
from ops.service.document import Document, Unreadable
from ops.service.model import Service
from ops.service.problem import Problem, Severity, path_text
from ops.service.values import mapping


class ServiceError(Exception):
    """The file is not a service that can run; the text says where, why and what to do, in one line."""


def read_service(file: Path) -> Service:
    """Read a service.yaml.

    Raises:
        ServiceError: the file cannot be read, or the platform would refuse it.

    """
    try:
        found = document.read_strict(document.read_file(file))
    except Unreadable as error:
        where = f"{file}:{error.line}" if error.line > 1 else str(file)
        advice = "; name a service.yaml" if error.reason.startswith("cannot be read") else ""
        raise ServiceError(f"{where}: {error.reason}{advice}") from error
    service = model.read(mapping(found.value))
    for problem in _problems(found, service):
        if problem.severity is Severity.ERROR:
            where = f"{file}:{found.line(problem.place)}: {path_text(problem.place)}"
            raise ServiceError(f"{where}: {problem.reason}; {problem.fix[0].lower()}{problem.fix[1:].rstrip('.')}")
    return service


def _problems(found: Document, service: Service) -> Iterator[Problem]:
    yield from schema.problems(found.value, schema.service_types(), "Service")
    for checks in structure.TOPICS.values():
        for check in checks.values():
            yield from check(service)
