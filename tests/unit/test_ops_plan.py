"""From the file to this machine: what is substituted, and that every substitution is told."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from ops.up import model_choice, model_store, ports, runtime
from ops.up.errors import LaunchError
from ops.up.manifest import Service, TcpSocket, read_service
from ops.up.options import Options, ProbeKind
from ops.up.plan import Plan, make_plan
from ops.up.runtime import Kind, Runtime

SERVICE = Path(__file__).parents[2] / "service.yaml"
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
    assert str(ingress.startup.action.port) == agent["PROBE_AGENT_PORT"]


def test_every_difference_is_told(service: Service) -> None:
    """No variable of a container differs from the file without a line that says so."""
    made = plan(service)
    told = {(item.where, item.setting) for item in made.substitutions}
    for container in service.containers:
        here = made.environments[container.name]
        for name in {*container.env, *here} - {"PORT", "PYTHONUNBUFFERED"}:
            assert container.env.get(name) == here.get(name) or (container.name, name) in told


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
    assert ingress.startup.action == TcpSocket(ingress.port or 0)
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
    assert not model_store.has_model(tmp_path, model + "x")


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
    assert runtime.base_name(image) == "ollama"
