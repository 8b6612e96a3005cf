"""Images, annotations, network and addresses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ops.images import PINNED
from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.rules.probes import READINESS
from ops.lint.schema import annotation_places
from ops.lint.values import texts
from ops.lint.view import REVISION_ANNOTATIONS, SERVICE_ANNOTATIONS, View

if TYPE_CHECKING:
    from collections.abc import Iterator

WORD = r"(?:YOUR_\w+|REGION|PROJECT(?:_ID|_NUMBER)?|REPOSITORY|DIGEST|BUCKET(?:_NAME)?|NETWORK|SUBNET)"
PLACEHOLDER = re.compile(rf"""(?<![^/:@."-])(?:\$\{{{WORD}\}}|\$?{WORD})(?![^/:@."-])""")
"""A word that a person or the build replaces, between the signs that part a name; nobody expands $REGION there."""
PROJECT = re.compile(r"(?<![\w-])(?:my-|your-)?project-id(?!\w)")
PROJECT_FIELDS = ("bucketName", "image", "serviceAccountName")
"""Where project-id is part of a name of somebody's, as in every gs:// address; elsewhere it may be a word."""
EXTERNAL = re.compile(r"https://[\w.$\{\}-]+\.run\.app(?::\d+)?(/[^\s'\"?#]*)")
RESERVED = re.compile(r"/eventlog(/.*)?|/_ah/.*|/(.*/)?\w+z")
"""Paths that Google's front answers itself, with a 404 (Cloud Run, known issues)."""
LONGEST_QUOTE = 80
"""Characters of a value that a finding repeats."""
KNOWN_PREFIXES = ("run.googleapis.com/", "autoscaling.knative.dev/")


@rule("image-digest")
def image_digest(view: View, options: Options) -> Iterator[Problem]:
    """What is deployed is what was verified: with --deploy every image is named by its digest."""
    if not options.deploy:
        return
    for container in view.containers:
        if container.image and not PINNED.fullmatch(container.image):
            fix = "Let the build put ...@sha256:DIGEST there."
            reason = f"{container.image} names no digest: a tag may be another image tomorrow"
            yield Problem((*container.place, "image"), reason, fix)


@rule("placeholder")
def placeholder(view: View, options: Options) -> Iterator[Problem]:
    """With --deploy nothing is left to fill in: a PROJECT_ID in the file is nobody's project."""
    if not options.deploy:
        return
    variables = {spot: f"{name}: " for each in view.containers for name, spot in each.env_places.items()}
    for place, value in texts(view.document):
        if place[-1] == "name" and "env" in place:  # a variable may be called REGION
            continue
        if {"command", "args"} & {*place}:  # a shell's, which expands and sets such names
            continue
        if place[-1] == "image" and not PINNED.fullmatch(value):  # `image-digest` says it
            continue
        named = place[-1] in PROJECT_FIELDS or value.startswith("gs://")
        words = dict.fromkeys(PLACEHOLDER.findall(value) + (PROJECT.findall(value) if named else []))
        if words:
            reason = (
                f"{variables.get(place[:-1], '')}{' and '.join(words)} in {_short(value)} stands for a name of yours"
            )
            yield Problem(place, reason, "Write your own name there.")


@rule("launch-stage")
def launch_stage(view: View, _options: Options) -> Iterator[Problem]:
    """Readiness probes are a preview feature: without launch-stage BETA the platform refuses the file."""
    name = "run.googleapis.com/launch-stage"
    stage = view.service_annotations.get(name)
    user = next((container for container in view.containers if container.probe(READINESS)), None)
    if user and stage not in ("BETA", "ALPHA"):
        found = f"is {stage}" if stage else "is not set"
        reason = f"{user.name!r} has a readinessProbe, a preview feature, and {name} {found}"
        yield Problem((*SERVICE_ANNOTATIONS, name), reason, f"Set metadata.annotations {name}: BETA.")


@rule("vpc-egress")
def vpc_egress(view: View, _options: Options) -> Iterator[Problem]:
    """vpc-access-egress says what goes through the network; without a network it says nothing."""
    name = "run.googleapis.com/vpc-access-egress"
    ways = ("run.googleapis.com/network-interfaces", "run.googleapis.com/vpc-access-connector")
    if name in view.annotations and not any(way in view.annotations for way in ways):
        reason = f"{name} is set, but there is no network: neither {ways[0]} nor a connector"
        fix = f'Give {ways[0]}: \'[{{"network":"NETWORK","subnetwork":"SUBNET"}}]\'.'
        yield Problem((*REVISION_ANNOTATIONS, name), reason, fix)


@rule("annotation")
def annotation(view: View, _options: Options) -> Iterator[Problem]:
    """An annotation is one that the Admin API lists, on the resource that may carry it; elsewhere it is refused."""
    for where, place, written in (
        ("Service", SERVICE_ANNOTATIONS, view.service_annotations),
        ("Revision", REVISION_ANNOTATIONS, view.annotations),
    ):
        for name in written:
            listed = annotation_places().get(str(name))
            if not str(name).startswith(KNOWN_PREFIXES):
                continue
            if listed is None:
                reason = f"the Admin API lists no annotation {name}"
                yield Problem((*place, str(name)), reason, "Correct its name, or remove it.", Severity.WARNING)
            elif where not in listed and listed.strip() != "All resources":
                reason = f"{name} stands on the {where}, and belongs to the {listed.strip(' ,')}"
                to = "spec.template.metadata.annotations" if where == "Service" else "metadata.annotations"
                yield Problem((*place, str(name)), reason, f"Move it to {to}.")


@rule("reserved-path")
def reserved_path(view: View, _options: Options) -> Iterator[Problem]:
    """A check from outside asks a path that reaches the container: /eventlog, /_ah/ and paths ending in z do not."""
    for place, value in texts(view.document):
        for path in EXTERNAL.findall(value):
            if RESERVED.fullmatch(path):
                reason = f"from outside, {path} is answered by Google's front with a 404: it never reaches a container"
                fix = f"Use {path.rstrip('z')}." if path.endswith("z") else "Use another path."
                yield Problem(place, reason, fix, Severity.WARNING)


def _short(value: str) -> str:
    """Return a text in quotes, long ones by their beginning."""
    line = " ".join(value.split())
    return repr(line if len(line) <= LONGEST_QUOTE else line[:LONGEST_QUOTE] + "…")
