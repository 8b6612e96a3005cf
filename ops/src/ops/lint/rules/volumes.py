"""Volumes with models or runtime files, and how they are mounted."""

import math
from collections.abc import Iterator
from typing import Any

from ops.cloudrun.limits import gib
from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.service.containers import Container
from ops.service.model import REVISION, REVISION_ANNOTATIONS, Service
from ops.service.problem import Problem, Severity
from ops.service.values import items, mapping, text

# mountOptions that switch gcsfuse's file cache on.
FILE_CACHE = ("cache-dir", "file-cache-max-size-mb", "file-cache:max-size-mb")
OPEN_VOLUME = ("Give sizeLimit, such as 16Mi.", Severity.WARNING)
# PROBE_AGENT_MODEL_STORE, where it is not written.
DEFAULT_STORE = "/models"
# OLLAMA_MODELS of Ollama's image and of ollama-image, where it is not written.
IMAGES_STORES = ("/root/.ollama/models", "/models")
RUNTIME_DIR, AGENT_RUNTIME_DIR = "RUNTIME_DIR", "PROBE_AGENT_RUNTIME_DIR"
# RUNTIME_DIR of ollama-image, where it is not written.
DEFAULT_RUNTIME = "/run/ollama"
GCSFUSE = "gcsfuse.run.googleapis.com"
EGRESS, NETWORK = "run.googleapis.com/vpc-access-egress", "run.googleapis.com/network-interfaces"


def volume_at(container: Container, folder: str) -> str:
    """Return the volume that holds a directory of a container, or an empty text if the directory is in its image."""
    return _spot(container, folder)[0]


def _spot(container: Container, folder: str) -> tuple[str, str]:
    """Return the volume that holds a directory and the path inside the volume; two empty texts when none does."""
    around = [each for each in container.mounts if each.path and f"{folder}/".startswith(f"{each.path}/")]
    best = max(around, key=lambda each: len(each.path), default=None)
    return (best.volume, folder.removeprefix(best.path)) if best else ("", "")


def _source(service: Service) -> str:
    return service.agent.env.get("PROBE_AGENT_MODEL_SOURCE", "").lower() if service.agent else ""


def _store(agent: Container) -> str:
    return agent.env.get("PROBE_AGENT_MODEL_STORE", "") or DEFAULT_STORE


def _shared(service: Service, folder: str, variable: str) -> Iterator[Problem]:
    if service.agent is None or service.ollama is None:
        return
    ours, theirs = volume_at(service.agent, folder), volume_at(service.ollama, folder)
    if not ours or ours != theirs:
        reason = (
            f"{folder} is on {_volume(ours)} for the agent and on {_volume(theirs)} for Ollama: "
            "neither sees what the other writes there"
        )
        fix = f"Mount one volume at {folder} in both containers."
        yield Problem(service.agent.env_place(variable), reason, fix)


def _volume(name: str) -> str:
    return f"the volume {name!r}" if name else "no volume"


@rule("model-store")
def model_store(service: Service, _options: Options) -> Iterator[Problem]:
    """A mounted or downloaded model is on a volume that both containers mount, where Ollama looks for it."""
    if service.agent is None or service.ollama is None:
        return
    if _source(service) not in ("mount", "gcs"):
        return
    store = _store(service.agent)
    models = service.ollama.env.get("OLLAMA_MODELS", "")
    if models.rstrip("/") != store.rstrip("/"):
        found = f"looks in {models}" if models else "has no OLLAMA_MODELS and looks in its home directory"
        fix = f"Set OLLAMA_MODELS to {store}."
        yield Problem(service.ollama.env_place("OLLAMA_MODELS"), f"the models are in {store}, Ollama {found}", fix)
    yield from _shared(service, store.rstrip("/"), "PROBE_AGENT_MODEL_STORE")


@rule("runtime-dir")
def runtime_dir(service: Service, _options: Options) -> Iterator[Problem]:
    """The runtime directory is one directory of one volume in both containers, or the agent cannot read it."""
    agent, ollama = service.agent, service.ollama
    if agent is None or ollama is None or RUNTIME_DIR in ollama.referred or AGENT_RUNTIME_DIR in agent.referred:
        return
    written = ollama.env.get(RUNTIME_DIR, "").rstrip("/")
    ours, theirs = agent.env.get(AGENT_RUNTIME_DIR, "").rstrip("/"), written or DEFAULT_RUNTIME
    if not ours and written:
        reason = (
            f"Ollama's image has {RUNTIME_DIR}, but the agent has no {AGENT_RUNTIME_DIR}: no prompt cache is restored"
        )
        fix = f"Set {AGENT_RUNTIME_DIR} to {theirs}, on a volume that both mount."
        yield Problem(agent.env_place(AGENT_RUNTIME_DIR), reason, fix, Severity.WARNING)
    elif ours == theirs:
        yield from _shared(service, ours, AGENT_RUNTIME_DIR)
    elif ours and (not volume_at(agent, ours) or _spot(agent, ours) != _spot(ollama, theirs)):
        source = "" if written else ", where its image writes without RUNTIME_DIR"
        reason = f"the agent looks in {ours}, Ollama's runtime directory is {theirs}{source}: the agent finds nothing"
        fix = f"Set {AGENT_RUNTIME_DIR} to {theirs}, and mount one volume there in both containers."
        yield Problem(agent.env_place(AGENT_RUNTIME_DIR), reason, fix)


@rule("model-egress")
def model_egress(service: Service, _options: Options) -> Iterator[Problem]:
    """A model in Cloud Storage comes through Direct VPC with all-traffic; the public way is slower."""
    mounted = any(csi.get("driver") == GCSFUSE for _, csi in _model_volumes(service))
    value = service.annotations.get(EGRESS)
    if value == "all-traffic" or not (mounted or _source(service) == "gcs"):
        return
    what = "the bucket with the models is mounted" if mounted else "the agent downloads the model from a bucket"
    reason = f"{what}, and {EGRESS} is {value or 'not set'}: Cloud Storage is not reached through the VPC, the fast way"
    fix = f"Set it to all-traffic, with {NETWORK} and Private Google Access on the subnet."
    yield Problem((*REVISION_ANNOTATIONS, EGRESS), reason, fix, Severity.WARNING)


@rule("memory-volume")
def memory_volume(service: Service, _options: Options) -> Iterator[Problem]:
    """A volume in memory is smaller than the memory of the containers that write it."""
    for index, raw in enumerate(items(service.spec.get("volumes"))):
        volume = mapping(raw)
        empty = volume.get("emptyDir")
        if not isinstance(empty, dict) or text(empty.get("medium")) not in ("Memory", ""):
            continue
        place = (*REVISION, "volumes", index, "emptyDir")
        size = gib(empty["sizeLimit"]) if "sizeLimit" in empty else None
        if size is None:
            yield Problem(place, "a memory volume without a size may fill the instance", *OPEN_VOLUME)
            continue
        users, who = _writers(service, text(volume.get("name")))
        memory = math.fsum(gib(user.limits.get("memory", "512Mi")) or 0 for user in users)
        if users and size >= memory:
            reason = f"the volume takes up to {size:g} GiB of memory, {who} {memory:g}"
            yield Problem((*place, "sizeLimit"), reason, "Raise their memory, make it smaller, or use medium: Disk.")


def _writers(service: Service, volume: str) -> tuple[list[Container], str]:
    """Return the containers whose memory a volume takes, with words for them: all, unless one is known to write."""
    if (
        service.agent
        and _source(service) == "gcs"
        and volume == volume_at(service.agent, _store(service.agent).rstrip("/"))
    ):
        return [service.agent], f"and {service.agent.name!r}, which downloads into it, has"
    users = [container for container in service.containers if any(each.volume == volume for each in container.mounts)]
    return users, "the containers that mount it have"


def _model_volumes(service: Service) -> Iterator[tuple[int, dict[Any, Any]]]:
    """Yield the index and the csi of each volume that holds the models, for Ollama or for the agent."""
    holding = set()
    if service.ollama:
        written = service.ollama.env.get("OLLAMA_MODELS", "").rstrip("/")
        holding |= {volume_at(service.ollama, store) for store in ([written] if written else IMAGES_STORES)}
    if service.agent and _source(service) in ("mount", "gcs"):
        holding.add(volume_at(service.agent, _store(service.agent).rstrip("/")))
    for index, volume in enumerate(items(service.spec.get("volumes"))):
        if text(mapping(volume).get("name")) in holding - {""}:
            yield index, mapping(mapping(volume).get("csi"))


@rule("gcsfuse-cache")
def gcsfuse_cache(service: Service, _options: Options) -> Iterator[Problem]:
    """Buffered reads and the file cache exclude each other: the cache silently turns buffered reads off."""
    for index, volume in enumerate(items(service.spec.get("volumes"))):
        attributes = mapping(mapping(mapping(volume).get("csi")).get("volumeAttributes"))
        options = dict(part.strip().partition("=")[::2] for part in text(attributes.get("mountOptions")).split(","))
        buffered = options.get("enable-buffered-read", "false").lower() != "false"
        cached = [name for name in FILE_CACHE if name in options and options[name] != "0"]
        if buffered and cached and options.get("file-cache-max-size-mb") != "0":
            place = (*REVISION, "volumes", index, "csi", "volumeAttributes", "mountOptions")
            reason = f"enable-buffered-read together with {cached[0]}: the file cache turns buffered reads off"
            yield Problem(place, reason, "Keep one: buffered reads suit a model that is read once.")


@rule("gcsfuse-writable")
def gcsfuse_writable(service: Service, _options: Options) -> Iterator[Problem]:
    """A mounted bucket with a model is read-only, so that no request to Ollama can change what is served."""
    for index, csi in _model_volumes(service):
        if csi.get("driver") == GCSFUSE and csi.get("readOnly") is not True:
            reason = "the bucket is mounted writable: /api/delete and /api/pull reach what is served"
            fix = "Set readOnly: true."
            yield Problem((*REVISION, "volumes", index, "csi"), reason, fix, Severity.WARNING)
