"""Volumes and their mounts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ops.cloudrun.limits import gib
from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.values import items, mapping, text
from ops.lint.view import REVISION, REVISION_ANNOTATIONS, View

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.lint.view import Container

FILE_CACHE = ("cache-dir", "file-cache-max-size-mb", "file-cache:max-size-mb")
"""mountOptions that switch gcsfuse's file cache on."""
OPEN_VOLUME = ("Give sizeLimit, such as 16Mi.", Severity.WARNING)
DEFAULT_STORE = "/models"
"""PROBE_AGENT_MODEL_STORE, where it is not written."""
IMAGES_STORES = ("/root/.ollama/models", "/models")
"""OLLAMA_MODELS of Ollama's image and of ollama-image, where it is not written."""
RUNTIME_DIR, AGENT_RUNTIME_DIR = "RUNTIME_DIR", "PROBE_AGENT_RUNTIME_DIR"
DEFAULT_RUNTIME = "/run/ollama"
"""RUNTIME_DIR of ollama-image, where it is not written."""
GCSFUSE = "gcsfuse.run.googleapis.com"
EGRESS, NETWORK = "run.googleapis.com/vpc-access-egress", "run.googleapis.com/network-interfaces"


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


def volume_at(container: Container, folder: str) -> str:
    """Return the volume that holds a folder of a container, or nothing when the folder is its image's."""
    return _spot(container, folder)[0]


def _spot(container: Container, folder: str) -> tuple[str, str]:
    """Return the volume that holds a folder and the way to it inside the volume; twice nothing when none does."""
    best, found = "", ""
    for raw in items(container.raw.get("volumeMounts")):
        path = text(mapping(raw).get("mountPath")).rstrip("/")
        if path and (folder == path or folder.startswith(path + "/")) and len(path) > len(best):
            best, found = path, text(mapping(raw).get("name"))
    return (found, folder.removeprefix(best)) if found else ("", "")


def _source(view: View) -> str:
    return view.agent.env.get("PROBE_AGENT_MODEL_SOURCE", "").lower() if view.agent else ""


def _store(agent: Container) -> str:
    return agent.env.get("PROBE_AGENT_MODEL_STORE", "") or DEFAULT_STORE


def _shared(view: View, folder: str, variable: str) -> Iterator[Problem]:
    if view.agent is None or view.ollama is None:
        return
    ours, theirs = volume_at(view.agent, folder), volume_at(view.ollama, folder)
    if not ours or ours != theirs:
        reason = (
            f"{folder} lies on {_volume(ours)} for the agent, on {_volume(theirs)} for Ollama: "
            "what one writes there the other does not see"
        )
        fix = f"Mount one volume at {folder} in both containers."
        yield Problem(view.agent.env_place(variable), reason, fix)


def _volume(name: str) -> str:
    return f"the volume {name!r}" if name else "no volume"


@rule("model-store")
def model_store(view: View, _options: Options) -> Iterator[Problem]:
    """A model that is mounted or downloaded lies on a volume of both containers, where Ollama looks for it."""
    if view.agent is None or view.ollama is None:
        return
    if _source(view) not in ("mount", "gcs"):
        return
    store = _store(view.agent)
    models = view.ollama.env.get("OLLAMA_MODELS", "")
    if models.rstrip("/") != store.rstrip("/"):
        found = f"looks in {models}" if models else "has no OLLAMA_MODELS and looks in its home"
        fix = f"Set OLLAMA_MODELS to {store}."
        yield Problem(view.ollama.env_place("OLLAMA_MODELS"), f"the models lie in {store}, Ollama {found}", fix)
    yield from _shared(view, store.rstrip("/"), "PROBE_AGENT_MODEL_STORE")


@rule("runtime-dir")
def runtime_dir(view: View, _options: Options) -> Iterator[Problem]:
    """The runtime directory is one folder of one volume in both containers, or the agent learns nothing of it."""
    agent, ollama = view.agent, view.ollama
    if agent is None or ollama is None or RUNTIME_DIR in ollama.referred or AGENT_RUNTIME_DIR in agent.referred:
        return
    written = ollama.env.get(RUNTIME_DIR, "").rstrip("/")
    ours, theirs = agent.env.get(AGENT_RUNTIME_DIR, "").rstrip("/"), written or DEFAULT_RUNTIME
    if not ours and written:
        reason = f"Ollama's image is told {RUNTIME_DIR}, the agent no {AGENT_RUNTIME_DIR}: no prompt cache is restored"
        fix = f"Set {AGENT_RUNTIME_DIR} to {theirs}, on a volume that both mount."
        yield Problem(agent.env_place(AGENT_RUNTIME_DIR), reason, fix, Severity.WARNING)
    elif ours == theirs:
        yield from _shared(view, ours, AGENT_RUNTIME_DIR)
    elif ours and (not volume_at(agent, ours) or _spot(agent, ours) != _spot(ollama, theirs)):
        source = "" if written else ", where its image writes without RUNTIME_DIR"
        reason = f"the agent looks in {ours}, Ollama's runtime directory is {theirs}{source}: the agent finds nothing"
        fix = f"Set {AGENT_RUNTIME_DIR} to {theirs}, and mount one volume there in both containers."
        yield Problem(agent.env_place(AGENT_RUNTIME_DIR), reason, fix)


@rule("model-egress")
def model_egress(view: View, _options: Options) -> Iterator[Problem]:
    """A model in Cloud Storage comes by Direct VPC with all-traffic (R9): else it takes the slower, public way."""
    mounted = any(csi.get("driver") == GCSFUSE for _, csi in _model_volumes(view))
    value = view.annotations.get(EGRESS)
    if value == "all-traffic" or not (mounted or _source(view) == "gcs"):
        return
    what = "the bucket with the models is mounted" if mounted else "the agent downloads the model from a bucket"
    reason = f"{what}, and {EGRESS} is {value or 'not set'}: Cloud Storage is not reached through the VPC, the fast way"
    fix = f"Set it to all-traffic, with {NETWORK} and Private Google Access on the subnet."
    yield Problem((*REVISION_ANNOTATIONS, EGRESS), reason, fix, Severity.WARNING)


@rule("memory-volume")
def memory_volume(view: View, _options: Options) -> Iterator[Problem]:
    """A volume in memory leaves some to who writes it, whose memory it is: the agent's, where the agent downloads."""
    for index, raw in enumerate(items(view.spec.get("volumes"))):
        volume = mapping(raw)
        empty = volume.get("emptyDir")
        if not isinstance(empty, dict) or text(empty.get("medium")) not in ("Memory", ""):
            continue
        place = (*REVISION, "volumes", index, "emptyDir")
        size = gib(empty["sizeLimit"]) if "sizeLimit" in empty else None
        if size is None:
            yield Problem(place, "a memory volume without a size may fill the instance", *OPEN_VOLUME)
            continue
        users, who = _writers(view, text(volume.get("name")))
        memory = math.fsum(gib(user.limits.get("memory", "512Mi")) or 0 for user in users)
        if users and size >= memory:
            reason = f"the volume takes up to {size:g} GiB of memory, {who} {memory:g}"
            yield Problem((*place, "sizeLimit"), reason, "Raise their memory, make it smaller, or use medium: Disk.")


def _writers(view: View, volume: str) -> tuple[list[Container], str]:
    """Return whose memory a volume takes, and how to say so: every user's, unless one is known to write it."""
    if view.agent and _source(view) == "gcs" and volume == volume_at(view.agent, _store(view.agent).rstrip("/")):
        return [view.agent], f"and {view.agent.name!r}, which downloads into it, has"
    users = [container for container in view.containers if any(name == volume for _, name in container.mounts)]
    return users, "the containers that mount it have"


def _model_volumes(view: View) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Yield the index and the csi of each volume that holds the models, for Ollama or for the agent."""
    holding = set()
    if view.ollama:
        written = view.ollama.env.get("OLLAMA_MODELS", "").rstrip("/")
        holding |= {volume_at(view.ollama, store) for store in ([written] if written else IMAGES_STORES)}
    if view.agent and _source(view) in ("mount", "gcs"):
        holding.add(volume_at(view.agent, _store(view.agent).rstrip("/")))
    for index, volume in enumerate(items(view.spec.get("volumes"))):
        if text(mapping(volume).get("name")) in holding - {""}:
            yield index, mapping(mapping(volume).get("csi"))


@rule("gcsfuse-cache")
def gcsfuse_cache(view: View, _options: Options) -> Iterator[Problem]:
    """Buffered reads and the file cache exclude each other: the cache switches buffered reads off, silently."""
    for index, volume in enumerate(items(view.spec.get("volumes"))):
        attributes = mapping(mapping(mapping(volume).get("csi")).get("volumeAttributes"))
        options = dict(part.strip().partition("=")[::2] for part in text(attributes.get("mountOptions")).split(","))
        buffered = options.get("enable-buffered-read", "false").lower() != "false"
        cached = [name for name in FILE_CACHE if name in options and options[name] != "0"]
        if buffered and cached and options.get("file-cache-max-size-mb") != "0":
            place = (*REVISION, "volumes", index, "csi", "volumeAttributes", "mountOptions")
            reason = f"enable-buffered-read together with {cached[0]}: the file cache turns buffered reads off"
            yield Problem(place, reason, "Keep one: buffered reads for a model that is read once.")


@rule("gcsfuse-writable")
def gcsfuse_writable(view: View, _options: Options) -> Iterator[Problem]:
    """A mounted bucket with a model is read-only: no request to Ollama can then change what is served."""
    for index, csi in _model_volumes(view):
        if csi.get("driver") == GCSFUSE and csi.get("readOnly") is not True:
            reason = "the bucket is mounted writable: /api/delete and /api/pull reach what is served"
            fix = "Set readOnly: true."
            yield Problem((*REVISION, "volumes", index, "csi"), reason, fix, Severity.WARNING)
