"""What the platform demands of any service: its containers, names, probes, variables, volumes and dependencies."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter

from ops.cloudrun.limits import (
    GPU_STARTUP_SECONDS,
    HIGHEST_PORT,
    MOST_CONCURRENCY,
    MOST_CONTAINERS,
    MOST_TIMEOUT_SECONDS,
    PROBE_SECONDS,
    RESERVED_VARIABLES,
    startup_seconds,
)
from ops.service.containers import ACTIONS, READINESS, STARTUP, Container, Probe
from ops.service.model import CONTAINERS, DEPENDENCIES, REVISION, REVISION_ANNOTATIONS, VOLUMES, Service
from ops.service.problem import Problem, Severity
from ops.service.values import items, mapping, text, whole

API_VERSION, KIND = "serving.knative.dev/v1", "Service"
SERVICE_NAME = re.compile(r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?")
# A DNS label (RFC 1123), which names of containers and volumes are.
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
PROTOCOLS = ("", "http1", "h2c")
MEDIA = ("", "Memory", "Disk")
WHOLE_TRAFFIC = 100
DEPENDENCIES_PLACE = (*REVISION_ANNOTATIONS, DEPENDENCIES)

Check = Callable[[Service], Iterator[Problem]]


def required(service: Service) -> Iterator[Problem]:
    """The file has the API's apiVersion and kind, a name that Cloud Run takes, and a container."""
    version, kind = service.raw.get("apiVersion"), service.raw.get("kind")
    if version != API_VERSION:
        yield Problem(
            ("apiVersion",), f"expected {API_VERSION}, found {version!r}", f"Write apiVersion: {API_VERSION}."
        )
    if kind != KIND:
        yield Problem(("kind",), f"expected {KIND}, found {kind!r}", f"Write kind: {KIND}.")
    if not service.name:
        yield Problem(("metadata",), "the service has no name", "Give metadata.name.")
    elif not SERVICE_NAME.fullmatch(service.name):
        reason = f"{service.name!r} is not a name for a service: the API refuses it"
        fix = "Use at most 49 lower-case letters, digits and hyphens; begin with a letter."
        yield Problem(("metadata", "name"), reason, fix)
    if not service.containers:
        yield Problem(CONTAINERS, "there is no container", "Give at least one, the ingress.")


def ingress(service: Service) -> Iterator[Problem]:
    """Exactly one container has ports, with one port and a known protocol: requests go there."""
    found = [container for container in service.containers if container.has_ports]
    if service.containers and not found and len(service.containers) > 1:
        reason = "no container has ports, so none receives the requests"
        yield Problem(CONTAINERS, reason, "Give one container `ports`.")
    for container in found[1:]:
        reason = f"{container.name!r} has ports beside {found[0].name!r}: an instance has exactly one ingress container"
        fix = "Remove its ports; the containers of an instance reach each other on localhost without them."
        yield Problem((*container.place, "ports"), reason, fix)
    for container in found[:1]:
        ports = items(container.raw.get("ports"))
        place = (*container.place, "ports")
        if len(ports) > 1:
            reason = "the ingress has more than one port: the API refuses it"
            yield Problem((*place, 1), reason, "Keep the port that receives requests.")
        protocol = text(mapping(ports[0]).get("name"))
        if protocol not in PROTOCOLS:
            reason = f"a port cannot be named {protocol!r}: the name says the protocol, http1 or h2c"
            yield Problem((*place, 0, "name"), reason, "Write http1, or h2c for HTTP/2.")
        if container.port is not None and not 1 <= container.port <= HIGHEST_PORT:
            yield Problem((*place, 0, "containerPort"), f"{container.port} is not a port", "Write 1 to 65535.")


def container_names(service: Service) -> Iterator[Problem]:
    """Containers have different names, of lower-case letters, digits and hyphens."""
    names = Counter(container.name for container in service.containers)
    seen = set()
    for container in service.containers:
        place = (*container.place, "name")
        if not container.name and len(service.containers) > 1:
            yield Problem(container.place, "one of several containers has no name", "Give it a name.")
        elif container.name and container.name in seen:
            reason = f"{names[container.name]} containers are called {container.name!r}"
            yield Problem(place, reason, "Rename one of them.")
        elif container.name and not LABEL.fullmatch(container.name):
            reason = f"{container.name!r} is not a name for a container: the API refuses it"
            yield Problem(place, reason, "Use lower-case letters, digits and hyphens.")
        seen.add(container.name)


def container_count(service: Service) -> Iterator[Problem]:
    """An instance has at most ten containers."""
    if len(service.containers) > MOST_CONTAINERS:
        reason = f"{len(service.containers)} containers; an instance has at most {MOST_CONTAINERS}"
        yield Problem((*CONTAINERS, MOST_CONTAINERS), reason, "Remove some.")


def duplicate_variable(service: Service) -> Iterator[Problem]:
    """A container sets each variable once; for a duplicate the last one wins silently."""
    for container in service.containers:
        names = Counter(text(mapping(item).get("name")) for item in items(container.raw.get("env")))
        for name, times in names.items():
            if name and times > 1:
                yield Problem(container.env_place(name), f"{name} is set {times} times", "Keep one of them.")


def variable_source(service: Service) -> Iterator[Problem]:
    """A variable has either a value or a source, and a source names its secret."""
    for container in service.containers:
        for name in sorted(container.referred):
            place = container.env_place(name)
            variable = mapping(items(container.raw.get("env"))[int(place[-1])])
            secret = mapping(mapping(variable["valueFrom"]).get("secretKeyRef"))
            if variable.get("value"):
                reason = f"{name} has a value and a valueFrom: the API refuses the file"
                yield Problem(place, reason, "Keep one of the two.")
            if not text(secret.get("name")):
                reason = f"{name} comes from a secret without a name: the API refuses the file"
                yield Problem((*place, "valueFrom"), reason, "Write secretKeyRef: {name: SECRET, key: latest}.")


def reserved_variable(service: Service) -> Iterator[Problem]:
    """The file does not set variables that the platform sets: K_SERVICE and its like, and the ingress's PORT."""
    for container in service.containers:
        is_ingress = container.has_ports or len(service.containers) == 1
        for name in (*RESERVED_VARIABLES, *(["PORT"] if is_ingress else [])):
            if name in container.env_places:
                fix = "Remove it" + ("; the port is containerPort." if name == "PORT" else ".")
                yield Problem(container.env_place(name), f"the platform sets {name}, and refuses it in a file", fix)


def traffic(service: Service) -> Iterator[Problem]:
    """The shares of traffic add up to 100 per cent."""
    targets = items(mapping(service.raw.get("spec")).get("traffic"))
    total = sum(whole(mapping(target).get("percent")) or 0 for target in targets)
    if targets and total != WHOLE_TRAFFIC:
        yield Problem(("spec", "traffic"), f"the shares add up to {total} per cent", "Let percent add up to 100.")


def revision_bounds(service: Service) -> Iterator[Problem]:
    """Concurrency and the request timeout lie within the platform's bounds."""
    for name, most in (("containerConcurrency", MOST_CONCURRENCY), ("timeoutSeconds", MOST_TIMEOUT_SECONDS)):
        value = whole(service.spec.get(name))
        if value is not None and not 0 <= value <= most:
            reason = f"{name} is {value}; the platform takes at most {most}"
            yield Problem((*REVISION, name), reason, f"Choose a value from 1 to {most}.")


def probe_action(service: Service) -> Iterator[Problem]:
    """A probe has exactly one action, httpGet, tcpSocket or grpc, and a port."""
    for container, _, probe in probes(service):
        raw = mapping(container.raw.get(str(probe.place[-1])))
        actions = [action for action in ACTIONS if action in raw]
        if not actions:
            reason = "the probe has no httpGet, tcpSocket or grpc: it asks nothing"
            yield Problem(probe.place, reason, "Give httpGet with a path and a port.")
        elif len(actions) > 1:
            reason = f"the probe has {' and '.join(actions)}: the API takes one action"
            yield Problem((*probe.place, actions[1]), reason, "Keep one of them.")
        elif probe.port is None or not 1 <= probe.port <= HIGHEST_PORT:
            reason = "the probe names no port, and its container has none" if probe.port is None else "is not a port"
            yield Problem((*probe.place, probe.kind), reason, "Write port: with a number from 1 to 65535.")
        if probe.kind == "httpGet" and not probe.path.startswith("/"):
            reason = f"the path {probe.path!r} does not begin with a slash"
            yield Problem((*probe.place, "httpGet", "path"), reason, f"Write /{probe.path}.")


def probe_bounds(service: Service) -> Iterator[Problem]:
    """Delay, period, timeout and thresholds lie within the platform's bounds."""
    for container, field, probe in probes(service):
        most = startup_seconds(gpu=service.gpu) if field == STARTUP else PROBE_SECONDS
        for name, value, low in (
            ("initialDelaySeconds", probe.initial_delay_seconds, 0),
            ("periodSeconds", probe.period_seconds, 1),
            ("timeoutSeconds", probe.timeout_seconds, 1),
            ("failureThreshold", probe.failure_threshold, 1),
        ):
            if not low <= value <= most:
                gpu = " with a GPU" if most == GPU_STARTUP_SECONDS else ""
                reason = f"{name} is {value}; the platform takes {low} to {most}{gpu}"
                yield Problem((*probe.place, name), reason, f"Choose a value from {low} to {most}.")
        successes = whole(mapping(container.raw.get(field)).get("successThreshold"))
        if field != READINESS and successes not in (None, 1):
            reason = f"successThreshold is {successes}: the platform takes 1 only"
            yield Problem((*probe.place, "successThreshold"), reason, "Write 1, or remove it.")


def probe_timing(service: Service) -> Iterator[Problem]:
    """A probe's timeout is at most its period."""
    for _, _, probe in probes(service):
        if probe.timeout_seconds > probe.period_seconds:
            reason = f"timeoutSeconds {probe.timeout_seconds} is more than periodSeconds {probe.period_seconds}"
            yield Problem((*probe.place, "timeoutSeconds"), reason, f"Set it to at most {probe.period_seconds}.")


def dependency_form(service: Service) -> Iterator[Problem]:
    """The annotation container-dependencies is YAML or JSON: for each container, the list of those it waits for."""
    if service.dependencies is None:
        reason = "expected a mapping of container names to lists of container names"
        yield Problem(DEPENDENCIES_PLACE, reason, 'Write \'{"b":["a"]}\'.')


def dependency_unknown(service: Service) -> Iterator[Problem]:
    """Dependencies name containers of the file."""
    names = {container.name for container in service.containers}
    found = service.dependencies or {}
    for name in sorted({*found, *(need for needs in found.values() for need in needs)} - names):
        fix = f"Name one of: {', '.join(sorted(names))}."
        yield Problem(DEPENDENCIES_PLACE, f"no container is called {name!r}", fix)


def dependency_cycle(service: Service) -> Iterator[Problem]:
    """Containers do not wait for each other in a cycle: none would start."""
    try:
        TopologicalSorter(service.dependencies or {}).prepare()
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        yield Problem(DEPENDENCIES_PLACE, f"the containers wait for each other: {cycle}", "Remove one dependency.")


def dependency_probe(service: Service) -> Iterator[Problem]:
    """A container that another one waits for has a startup probe of its own."""
    needed = {need for needs in (service.dependencies or {}).values() for need in needs}
    for container in service.containers:
        if container.name in needed and not container.startup:
            reason = f"another container waits for {container.name!r}, which has no startupProbe"
            yield Problem(container.place, reason, "Give it a startupProbe.")


def volume_form(service: Service) -> Iterator[Problem]:
    """Volumes have different names and one kind each."""
    seen = set()
    for volume, raw in zip(service.volumes, items(service.spec.get("volumes")), strict=True):
        kinds = [str(kind) for kind in mapping(raw) if kind != "name"]
        if not LABEL.fullmatch(volume.name):
            reason = f"{volume.name!r} is not a name for a volume: the API refuses it"
            yield Problem((*volume.place, "name"), reason, "Use lower-case letters, digits and hyphens.")
        if volume.name in seen:
            yield Problem((*volume.place, "name"), f"two volumes are called {volume.name!r}", "Rename one of them.")
        if len(kinds) != 1:
            reason = f"expected one kind of volume, such as emptyDir, found {', '.join(kinds) or 'none'}"
            yield Problem(volume.place, reason, "Give one kind.")
        if volume.kind == "emptyDir" and text(volume.source.get("medium")) not in MEDIA:
            reason = f"there is no medium {volume.source['medium']!r}"
            yield Problem((*volume.place, "emptyDir", "medium"), reason, "Write Memory or Disk.")
        seen.add(volume.name)


def volume_missing(service: Service) -> Iterator[Problem]:
    """A mount names a volume of the revision and an absolute path, and each volume is mounted somewhere."""
    names = [volume.name for volume in service.volumes]
    used = set()
    for container in service.containers:
        for mount in container.mounts:
            used.add(mount.volume)
            if mount.volume not in names:
                fix = f"Name one of: {', '.join(names)}." if names else "Add it under spec.template.spec.volumes."
                reason = f"{container.name!r} mounts {mount.volume!r}, and there is no such volume"
                yield Problem((*mount.place, "name"), reason, fix)
            if not mount.path.startswith("/") or ":" in mount.path:
                reason = "the mountPath is not an absolute path below / without a colon"
                yield Problem((*mount.place, "mountPath"), reason, "Write an absolute path, such as /models.")
    for index, name in enumerate(names):
        if name not in used:
            reason = f"no container mounts the volume {name!r}"
            yield Problem((*VOLUMES, index), reason, "Mount it, or remove it.", Severity.WARNING)


def probes(service: Service) -> Iterator[tuple[Container, str, Probe]]:
    """Yield every probe with its container and its field."""
    for container in service.containers:
        for field, probe in container.probes.items():
            yield container, field, probe


# Every check, by the id that `ops lint` knows it by, and under the heading of its topic.
TOPICS: dict[str, dict[str, Check]] = {
    "Containers, and what every service must have.": {
        "required": required,
        "ingress": ingress,
        "container-names": container_names,
        "container-count": container_count,
        "duplicate-variable": duplicate_variable,
        "variable-source": variable_source,
        "reserved-variable": reserved_variable,
        "traffic": traffic,
        "revision-bounds": revision_bounds,
    },
    "Probes: one action, and numbers within the bounds.": {
        "probe-action": probe_action,
        "probe-bounds": probe_bounds,
        "probe-timing": probe_timing,
    },
    "container-dependencies: which container waits for which.": {
        "dependency-form": dependency_form,
        "dependency-unknown": dependency_unknown,
        "dependency-cycle": dependency_cycle,
        "dependency-probe": dependency_probe,
    },
    "Volumes and mounts.": {"volume-form": volume_form, "volume-missing": volume_missing},
}
