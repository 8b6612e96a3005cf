"""Containers and what every service must have."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ops.lint.findings import Options, Problem, rule
from ops.lint.kinds import SERVICE_KIND
from ops.lint.values import items, mapping, whole
from ops.lint.view import REVISION, View

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTAINERS = (*REVISION, "containers")
RESERVED_VARIABLES = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")
"""What the platform sets itself (Cloud Run, container runtime contract)."""
WHOLE_TRAFFIC = 100
MOST_CONTAINERS = 10
"""Containers of one instance (Cloud Run, multiple containers)."""


@rule("required")
def required(view: View, _options: Options) -> Iterator[Problem]:
    """What the API demands and its schema does not say: version, kind, a name, a container, each one's image."""
    document = view.document
    if document.get("apiVersion") != "serving.knative.dev/v1":
        fix = "Write apiVersion: serving.knative.dev/v1."
        yield Problem(("apiVersion",), f"expected serving.knative.dev/v1, found {document.get('apiVersion')!r}", fix)
    if "kind" not in document:
        yield Problem((), "has no kind: the API does not know what it is", "Write kind: Service.")
    elif document["kind"] != SERVICE_KIND:
        reason = f"expected Service, found {document['kind']!r}: the API knows no such kind"
        yield Problem(("kind",), reason, "Write kind: Service.")
    if not mapping(document.get("metadata")).get("name"):
        yield Problem(("metadata",), "the service has no name", "Give metadata.name.")
    if not view.containers:
        yield Problem(CONTAINERS, "there is no container", "Give at least one, the ingress.")
    for container in view.containers:
        if not container.image:
            yield Problem(container.place, "the container has no image", "Give image.")


@rule("ingress")
def ingress(view: View, _options: Options) -> Iterator[Problem]:
    """Exactly one container has ports, and one port: requests go there."""
    found = [container for container in view.containers if container.has_ports]
    if view.containers and not found and len(view.containers) > 1:
        yield Problem(CONTAINERS, "no container has ports: nobody gets the requests", "Give one container `ports`.")
    for container in found[1:]:
        reason = f"{container.name!r} has ports beside {found[0].name!r}: an instance has exactly one ingress container"
        fix = "Remove its ports; containers of an instance reach each other on localhost without them."
        yield Problem((*container.place, "ports"), reason, fix)
    for container in found[:1]:
        if len(container.raw["ports"]) > 1:
            reason = "the ingress has more than one port: the API refuses it"
            yield Problem((*container.place, "ports", 1), reason, "Keep the one that takes requests.")


@rule("container-names")
def container_names(view: View, _options: Options) -> Iterator[Problem]:
    """Containers have names that differ: the API refuses others, and dependencies could not name them."""
    names = Counter(container.name for container in view.containers)
    seen = set()
    for container in view.containers:
        if not container.name and len(view.containers) > 1:
            yield Problem(container.place, "one of several containers has no name", "Give it a name.")
        elif container.name and container.name in seen:
            reason = f"{names[container.name]} containers are called {container.name!r}"
            yield Problem((*container.place, "name"), reason, "Rename one of them.")
        seen.add(container.name)


@rule("container-count")
def container_count(view: View, _options: Options) -> Iterator[Problem]:
    """An instance has at most ten containers."""
    if len(view.containers) > MOST_CONTAINERS:
        reason = f"{len(view.containers)} containers, where an instance has at most {MOST_CONTAINERS}"
        yield Problem((*CONTAINERS, MOST_CONTAINERS), reason, "Remove some.")


@rule("duplicate-variable")
def duplicate_variable(view: View, _options: Options) -> Iterator[Problem]:
    """A container's variable stands once: which of two wins is not for the reader to guess."""
    for container in view.containers:
        raw = container.raw.get("env")
        names = Counter(str(mapping(item).get("name")) for item in raw) if isinstance(raw, list) else Counter[str]()
        for name, times in names.items():
            if times > 1:
                yield Problem(container.env_place(name), f"{name} is set {times} times", "Keep one of them.")


@rule("reserved-variable")
def reserved_variable(view: View, _options: Options) -> Iterator[Problem]:
    """Variables that the platform sets itself are not set by the file: it refuses that."""
    for container in view.containers:
        for name in RESERVED_VARIABLES:
            if name in container.env_places:
                reason = f"{name} is set by the platform, and refused in a file"
                fix = "Remove it" + ("; the port is containerPort." if name == "PORT" else ".")
                yield Problem(container.env_place(name), reason, fix)


@rule("traffic")
def traffic(view: View, _options: Options) -> Iterator[Problem]:
    """The shares of traffic add up to 100 per cent, or the API refuses the file."""
    targets = items(mapping(view.document.get("spec")).get("traffic"))
    total = sum(whole(mapping(target).get("percent")) or 0 for target in targets)
    if targets and total != WHOLE_TRAFFIC:
        yield Problem(("spec", "traffic"), f"the shares add up to {total} per cent", "Let percent add up to 100.")
