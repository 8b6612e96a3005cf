"""Each container's environment on this machine; every difference from the file is noted for the operator.

What is adapted follows from what a container is (an Ollama, the agent), not from which variables the file
happens to set: a server without OLLAMA_HOST must not listen on its default port here either.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.service.containers import Container
from ops.up import ports, runtime, volumes
from ops.up.errors import ManifestError
from ops.up.model_choice import ModelChoice
from ops.up.runtime import Runtime
from ops.up.volumes import Folder
from probe_agent.ollama import host

# The agent's default port, where its environment names none.
AGENT_PORT = "9090"
# The agent's default for the store that it checks.
AGENT_STORE = "/models"
OLLAMA_HOST = "0.0.0.0:11434"
# The agent's default for the server it watches.
OLLAMA_URL = "http://127.0.0.1:11434"


@dataclass(frozen=True, slots=True)
class Substitution:
    """One thing that runs otherwise than the file says."""

    where: str
    setting: str
    in_file: str
    here: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What all containers are adapted to: ports, volumes' folders and model here, and whether a GPU computes."""

    mapped: Mapping[int, int]
    folders: Mapping[str, Folder]
    choice: ModelChoice | None
    file_num_ctx: str | None
    gpu: bool


class Adapted:
    """One container's environment, being adapted; each change becomes a substitution."""

    def __init__(self, container: Container) -> None:
        self.where = container.name
        self.env = dict(container.env)
        self.changes: list[Substitution] = []

    def tell(self, setting: str, in_file: str, here: str, why: str) -> None:
        """Note a difference."""
        self.changes.append(Substitution(self.where, setting, in_file, here, why))

    def set(self, name: str, value: str, why: str, *, default: str = "(unset)") -> None:
        """Give a variable its value here; `default` is what holds where the file names none."""
        if (in_file := self.env.get(name, default)) != value:
            self.tell(name, in_file, value, why)
        self.env[name] = value

    def drop(self, name: str, why: str) -> None:
        """Take a variable away."""
        if name in self.env:
            self.tell(name, self.env.pop(name), "(unset)", why)


def adapt(container: Container, machine: Machine, here: Runtime) -> Adapted:
    """Return one container's environment on this machine.

    Raises:
        ManifestError: a variable names no port.

    """
    adapted = Adapted(container)
    _adapt_volumes(adapted, container, machine)
    if in_file := shlex.join((*container.command, *container.args)):
        adapted.tell("command, args", in_file, shlex.join(here.argv), "what runs in the image's place")
    if container.gpu and not machine.gpu:
        adapted.tell("nvidia.com/gpu", "yes", "none", "the CPU computes")
    if container.port:
        adapted.env["PORT"] = str(machine.mapped[container.port])  # the platform sets it, on the ingress alone
    if runtime.is_ollama(container):
        _adapt_server(adapted, container, machine)
    if runtime.is_agent(container):
        _adapt_agent(adapted, container, machine)
    return adapted


def _adapt_volumes(adapted: Adapted, container: Container, machine: Machine) -> None:
    """Nothing can be mounted for a plain process: its variables name the folder instead."""
    for mount in container.mounts:
        folder = machine.folders[mount.volume]
        why = "a new folder for this run, of any size" if folder.is_new else "--volume"
        adapted.tell(f"volume {mount.volume}", mount.path, str(folder.path), why)
    for name, value in container.env.items():
        adapted.set(name, volumes.here(value, container.mounts, machine.folders), "lies on a volume")


def server_port(container: Container) -> int:
    """Return the port that an Ollama container listens on, by the file."""
    return port_of(container, "OLLAMA_HOST", OLLAMA_HOST)


def agent_port(container: Container) -> int:
    """Return the agent's port, by the file."""
    return port_of(container, "PROBE_AGENT_PORT", AGENT_PORT)


def port_of(container: Container, name: str, default: str) -> int:
    """Return the port that a variable names: alone, or of an address as Ollama reads it.

    Raises:
        ManifestError: it is no port.

    """
    text = container.env.get(name, default)
    if name != "PROBE_AGENT_PORT":
        return host.parse(text).port
    if not text.isdecimal() or not 0 < int(text) <= ports.HIGHEST:
        raise ManifestError(f"container {container.name!r}: {name}={text}: expected a port from 1 to {ports.HIGHEST}")
    return int(text)


def _adapt_server(adapted: Adapted, container: Container, machine: Machine) -> None:
    here = f"{ports.LOOPBACK}:{machine.mapped[server_port(container)]}"
    adapted.set("OLLAMA_HOST", here, "loopback only", default=OLLAMA_HOST)
    choice = machine.choice
    for name, value in (choice.server_environ if choice else {}).items():
        why = "Ollama keeps its keys there" if name == "HOME" else "its place here"
        adapted.set(name, value, why, default="(the image's)")
    if choice and "OLLAMA_STANDIN_MODELS" in choice.server_environ:
        adapted.drop("OLLAMA_MODELS", "the stand-in reads the model file itself")
    _adapt_context(adapted, machine)


def _adapt_context(adapted: Adapted, machine: Machine) -> None:
    """Let the server's default follow another model's pin; what disagrees in the file is reported, not mended."""
    length = adapted.env.get("OLLAMA_CONTEXT_LENGTH")
    if length is None or machine.choice is None:
        return
    if length != machine.file_num_ctx:
        why = f"DISAGREES with the file's own pin of {machine.file_num_ctx} tokens: correct the file"
        adapted.tell("OLLAMA_CONTEXT_LENGTH", length, length, why)
    elif machine.choice.num_ctx:
        adapted.set("OLLAMA_CONTEXT_LENGTH", machine.choice.num_ctx, "agrees with the model's pin")


def _adapt_agent(adapted: Adapted, container: Container, machine: Machine) -> None:
    port = machine.mapped[agent_port(container)]
    adapted.set("PROBE_AGENT_HOST", ports.LOOPBACK, "loopback only", default="0.0.0.0")  # noqa: S104 — the agent's default, shown
    adapted.set("PROBE_AGENT_PORT", str(port), "its port", default=AGENT_PORT)
    url = container.env.get("PROBE_AGENT_OLLAMA_URL", OLLAMA_URL)
    server = port_of(container, "PROBE_AGENT_OLLAMA_URL", OLLAMA_URL)
    here = url.replace(f":{server}", f":{machine.mapped.get(server, server)}")
    adapted.set("PROBE_AGENT_OLLAMA_URL", here, "Ollama's port", default=OLLAMA_URL)
    store = adapted.env.get("PROBE_AGENT_MODEL_STORE", AGENT_STORE)
    if (on_volume := volumes.here(store, container.mounts, machine.folders)) != store:
        adapted.set("PROBE_AGENT_MODEL_STORE", on_volume, "lies on a volume", default=AGENT_STORE)
    if not machine.gpu and "PROBE_AGENT_DEVICE" in container.env:
        adapted.set("PROBE_AGENT_DEVICE", "any", "the CPU computes")
    if machine.choice and machine.choice.models != container.env.get("PROBE_AGENT_MODEL"):
        adapted.set("PROBE_AGENT_MODEL", machine.choice.models, machine.choice.why)
        adapted.drop("PROBE_AGENT_MODEL_DIGEST", "it is another model's")
    prompts = adapted.env.get("PROBE_AGENT_WARMUP_PROMPTS")
    if prompts and not Path(prompts).is_file():
        adapted.drop("PROBE_AGENT_WARMUP_PROMPTS", "a file of the image, not on this machine")
