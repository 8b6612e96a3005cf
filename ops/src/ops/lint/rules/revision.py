"""Images, annotations, network and addresses."""

import difflib
import re
from collections.abc import Iterator
from typing import Any

from ops.cloudrun.annotations import EXPORTED, expected
from ops.images import is_pinned
from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.service.model import REVISION_ANNOTATIONS, SERVICE_ANNOTATIONS, Service
from ops.service.problem import Place, Problem, Severity
from ops.service.schema import annotation_places
from ops.service.values import texts

WORD = r"(?:YOUR_\w+|REGION|PROJECT(?:_ID|_NUMBER)?|REPOSITORY|DIGEST|BUCKET(?:_NAME)?|NETWORK|SUBNET)"
# A word that a person or the build replaces, between the characters that separate the parts of a name.
PLACEHOLDER = re.compile(rf"""(?<![^/:@."-])(?:\$\{{{WORD}\}}|\$?{WORD})(?![^/:@."-])""")
PROJECT = re.compile(r"(?<![\w-])(?:my-|your-)?project-id(?!\w)")
# Fields in which project-id is part of a name, as in every gs:// address; elsewhere it may be a word.
PROJECT_FIELDS = ("bucketName", "image", "serviceAccountName")
EXTERNAL = re.compile(r"https://[\w.$\{\}-]+\.run\.app(?::\d+)?(/[^\s'\"?#]*)")
# Paths that Google's front answers itself, with a 404 (Cloud Run, known issues).
RESERVED = re.compile(r"/eventlog(/.*)?|/_ah/.*|/(.*/)?\w+z")
# Characters of a value that a finding repeats.
LONGEST_QUOTE = 80
EGRESS = "run.googleapis.com/vpc-access-egress"
KNOWN_PREFIXES = ("run.googleapis.com/", "autoscaling.knative.dev/")


@rule("image-digest")
def image_digest(service: Service, options: Options) -> Iterator[Problem]:
    """With --deploy, every image is named by its digest: what is deployed is what was verified."""
    if not options.deploy:
        return
    for container in service.containers:
        if container.image and not is_pinned(container.image):
            fix = "Put the digest of the pushed image there: ops pin FILE --image CONTAINER=REF@sha256:DIGEST."
            reason = f"{container.image} has no digest of a real image: what runs may differ from what was verified"
            yield Problem((*container.place, "image"), reason, fix)


@rule("placeholder")
def placeholder(service: Service, options: Options) -> Iterator[Problem]:
    """With --deploy, no name such as PROJECT_ID is left to fill in."""
    if not options.deploy:
        return
    variables = {spot: f"{name}: " for each in service.containers for name, spot in each.env_places.items()}
    for place, value in texts(service.raw):
        if place[-1] == "name" and "env" in place:  # a variable may be called REGION
            continue
        if {"command", "args"} & {*place}:  # a shell's, which expands and sets such names
            continue
        if place[-1] == "image" and not is_pinned(value):  # `image-digest` says it
            continue
        named = place[-1] in PROJECT_FIELDS or value.startswith("gs://")
        words = dict.fromkeys(PLACEHOLDER.findall(value) + (PROJECT.findall(value) if named else []))
        if words:
            variable = variables.get(place[:-1], "")
            reason = f"{variable}{' and '.join(words)} in {_short(value)} is a placeholder"
            yield Problem(place, reason, "Write your own name.")


@rule("launch-stage")
def launch_stage(service: Service, _options: Options) -> Iterator[Problem]:
    """Readiness probes are a preview feature: without launch-stage BETA the platform refuses the file."""
    name = "run.googleapis.com/launch-stage"
    stage = service.service_annotations.get(name)
    user = next((container for container in service.containers if container.readiness), None)
    if user and stage not in ("BETA", "ALPHA"):
        found = f"is {stage}" if stage else "is not set"
        reason = f"{user.name!r} has a readinessProbe, a preview feature, and {name} {found}"
        yield Problem((*SERVICE_ANNOTATIONS, name), reason, f"Set metadata.annotations {name}: BETA.")


@rule("vpc-egress")
def vpc_egress(service: Service, _options: Options) -> Iterator[Problem]:
    """A revision reaches a network in one way, and vpc-access-egress is set only with a network."""
    direct, connector = "run.googleapis.com/network-interfaces", "run.googleapis.com/vpc-access-connector"
    ways = [way for way in (direct, connector) if way in service.annotations]
    if EGRESS in service.annotations and not ways:
        reason = f"{EGRESS} is set, but there is no network: neither {direct} nor a connector"
        fix = f'Give {direct}: \'[{{"network":"NETWORK","subnetwork":"SUBNET"}}]\'.'
        yield Problem((*REVISION_ANNOTATIONS, EGRESS), reason, fix)
    if len(ways) > 1:
        reason = f"{connector} stands beside {direct}: the API takes one of them"
        yield Problem((*REVISION_ANNOTATIONS, connector), reason, "Keep one, best network-interfaces.")


@rule("annotation")
def annotation(service: Service, _options: Options) -> Iterator[Problem]:
    """An annotation of Cloud Run is spelled right and stands on the resource that may carry it."""
    listed = annotation_places()
    exported = {f"run.googleapis.com/{name}" for name in EXPORTED}
    for where, place, name, _ in _annotations(service):
        if name in exported or not name.startswith(KNOWN_PREFIXES):
            continue
        if name not in listed:
            if close := difflib.get_close_matches(name, listed, n=1, cutoff=0.9):
                reason = f"the Admin API lists no annotation {name}: is it misspelt?"
                yield Problem((*place, name), reason, f"Write {close[0]}.", Severity.WARNING)
        elif where not in listed[name] and listed[name] != ["All", "resources"]:
            reason = f"{name} stands on the {where}, and belongs to the {', '.join(listed[name])}"
            to = "spec.template.metadata.annotations" if where == "Service" else "metadata.annotations"
            yield Problem((*place, name), reason, f"Move it to {to}.")


@rule("annotation-value")
def annotation_value(service: Service, _options: Options) -> Iterator[Problem]:
    """An annotation of Cloud Run has a value that the platform takes."""
    for _, place, name, value in _annotations(service):
        if isinstance(value, str) and (wanted := expected(name, value)):
            yield Problem((*place, name), f"{name} is {value!r}: the API refuses it", f"Write {wanted}.")


def _annotations(service: Service) -> Iterator[tuple[str, Place, str, Any]]:
    """Yield the resource, the place, the name and the value of each annotation."""
    for where, place, written in (
        ("Service", SERVICE_ANNOTATIONS, service.service_annotations),
        ("Revision", REVISION_ANNOTATIONS, service.annotations),
    ):
        yield from ((where, place, name, value) for name, value in written.items())


@rule("reserved-path")
def reserved_path(service: Service, _options: Options) -> Iterator[Problem]:
    """An address from outside has a path that reaches the container: /eventlog, /_ah/ and paths ending in z do not."""
    for place, value in texts(service.raw):
        for path in EXTERNAL.findall(value):
            if RESERVED.fullmatch(path):
                reason = f"from outside, Google's front answers {path} with a 404: it never reaches a container"
                fix = f"Use {path.rstrip('z')}." if path.endswith("z") else "Use another path."
                yield Problem(place, reason, fix, Severity.WARNING)


def _short(value: str) -> str:
    """Return a text in quotes, long ones by their beginning."""
    line = " ".join(value.split())
    return repr(line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + "…")
