"""Volumes and their mounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.view import REVISION, View, items, mapping, text

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_CACHE = ("cache-dir", "file-cache-max-size-mb", "file-cache:max-size-mb")
"""mountOptions that switch gcsfuse's file cache on."""


@rule("volume-missing")
def volume_missing(view: View, _options: Options) -> Iterator[Problem]:
    """A mount names a volume of the revision, and a volume is mounted somewhere."""
    names = [text(mapping(volume).get("name")) for volume in items(view.spec.get("volumes"))]
    used = set()
    for container in view.containers:
        for place, name in container.mounts:
            used.add(name)
            if name not in names:
                have = f"Name one of: {', '.join(names)}." if names else "Add it under spec.template.spec.volumes."
                yield Problem(place, f"{container.name!r} mounts {name!r}, and there is no such volume", have)
    for index, name in enumerate(names):
        if name not in used:
            place = (*REVISION, "volumes", index)
            reason = f"no container mounts the volume {name!r}"
            yield Problem(place, reason, "Mount it, or remove it.", Severity.WARNING)


@rule("gcsfuse-cache")
def gcsfuse_cache(view: View, _options: Options) -> Iterator[Problem]:
    """Buffered reads and the file cache exclude each other: the cache switches buffered reads off, silently."""
    for index, volume in enumerate(items(view.spec.get("volumes"))):
        attributes = mapping(mapping(mapping(volume).get("csi")).get("volumeAttributes"))
        options = dict(part.strip().partition("=")[::2] for part in text(attributes.get("mountOptions")).split(","))
        buffered = options.get("enable-buffered-read", "false").lower() != "false"
        cached = [name for name in FILE_CACHE if name in options and options[name] != "0"]
        if buffered and cached:
            place = (*REVISION, "volumes", index, "csi", "volumeAttributes", "mountOptions")
            reason = f"enable-buffered-read together with {cached[0]}: the file cache turns buffered reads off"
            yield Problem(place, reason, "Keep one: buffered reads for a model that is read once.")


@rule("gcsfuse-writable")
def gcsfuse_writable(view: View, _options: Options) -> Iterator[Problem]:
    """A mounted bucket with a model is read-only: no request to Ollama can then change what is served."""
    for index, volume in enumerate(items(view.spec.get("volumes"))):
        csi = mapping(mapping(volume).get("csi"))
        if csi.get("driver") == "gcsfuse.run.googleapis.com" and csi.get("readOnly") is not True:
            reason = "the bucket is mounted writable: /api/delete and /api/pull reach what is served"
            fix = "Set readOnly: true."
            yield Problem((*REVISION, "volumes", index, "csi"), reason, fix, Severity.WARNING)
