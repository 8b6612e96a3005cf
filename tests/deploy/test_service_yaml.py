"""service.yaml and its variants: valid for the Admin API, and their numbers agree with each other."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.service import schema
from ops.service.containers import Probe
from ops.service.model import Service
from ops.service.schema import annotation_places
from ops.up.manifest import read_service
from probe_agent.settings import Settings

ROOT = Path(__file__).parents[2]
FILE = ROOT / "service.yaml"
FILES = [FILE, *sorted((ROOT / "deploy").glob("service.*.yaml"))]
# The lower of the two documented bounds of a startup probe's whole budget; with a GPU it is 1800.
STARTUP_BOUND_SECONDS = 240
# CPU limits that a container may have, and the GiB that go with each (Cloud Run, configure CPU limits).
CPU_AND_MEMORY = {1: (0.125, 4), 2: (0.125, 8), 4: (2, 16), 6: (4, 24), 8: (4, 32)}
# The most that all containers of an instance may have together, without the larger GPU.
INSTANCE_CPU, INSTANCE_GIB = 8, 32
# The least that an instance with an L4 must have.
L4_CPU, L4_GIB = 4, 16
# GPUs per region that are granted without asking.
GPU_QUOTA = 3


@pytest.fixture(scope="module", params=FILES, ids=lambda file: file.name)
def file(request: pytest.FixtureRequest) -> Path:
    """Return each file that is deployed."""
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def document(file: Path) -> dict[str, Any]:
    """Return the file as it stands."""
    content: dict[str, Any] = yaml.safe_load(file.read_text())
    return content


@pytest.fixture(scope="module")
def service(file: Path) -> Service:
    """Return the file as `ops up` reads it."""
    return read_service(file)


@pytest.fixture(scope="module")
def settings(service: Service) -> Settings:
    """Return the agent's settings, from its environment in the file."""
    return Settings.from_environ(service.containers[1].env)


@pytest.fixture(scope="module")
def ollama(service: Service) -> dict[str, str]:
    """Return Ollama's environment in the file."""
    return dict(service.ingress.env)


@pytest.fixture(scope="module")
def startup(service: Service) -> Probe:
    """Return the ingress's startup probe."""
    assert service.ingress.startup is not None
    return service.ingress.startup


def revision(document: dict[str, Any]) -> dict[str, Any]:
    """Return the revision's spec."""
    spec: dict[str, Any] = document["spec"]["template"]["spec"]
    return spec


def gib(quantity: str) -> float:
    """Read a memory quantity, in GiB."""
    return float(quantity[:-2]) / {"Gi": 1, "Mi": 1024}[quantity[-2:]]


def limits(document: dict[str, Any]) -> list[dict[str, str]]:
    """Return each container's limits."""
    return [container["resources"]["limits"] for container in revision(document)["containers"]]


def test_file_is_valid_for_the_admin_api(document: dict[str, Any]) -> None:
    """The Admin API's own schema accepts every name and type of the file."""
    assert list(schema.problems(document, schema.service_types(), "Service")) == []


@pytest.mark.parametrize("change", ["name", "type", "place"])
def test_slip_is_not_valid(document: dict[str, Any], change: str) -> None:
    """A misspelt name, a wrong type, or a field in the wrong place does not pass the schema."""
    wrong = copy.deepcopy(document)
    container = revision(wrong)["containers"][0]
    match change:
        case "name":
            container["startupProb"] = container.pop("startupProbe")
        case "type":
            container["env"][0]["value"] = 1
        case _:
            container["containerConcurrency"] = 8
    assert len(list(schema.problems(wrong, schema.service_types(), "Service"))) == 1


def test_agents_environment_is_accepted(settings: Settings) -> None:
    """The agent starts with the environment of the file: every variable is known and valid."""
    assert settings.models


def test_ingress_is_the_only_container_with_ports(document: dict[str, Any], service: Service) -> None:
    """Exactly one container has ports, with one port: Ollama."""
    ports = {container["name"]: container.get("ports", []) for container in revision(document)["containers"]}
    assert {name: len(each) for name, each in ports.items()} == {"ollama": 1, "probe-agent": 0}
    assert service.ingress.name == "ollama"


def test_concurrency_follows_the_rule_of_thumb(service: Service, settings: Settings, ollama: dict[str, str]) -> None:
    """The limit of requests at once is (models × parallel) + (models × batch), the batch being the slots (R29)."""
    models, parallel = len(settings.models), int(ollama["OLLAMA_NUM_PARALLEL"])
    batch = parallel
    assert service.concurrency == models * parallel + models * batch


def test_both_containers_know_the_same_slots(settings: Settings, ollama: dict[str, str]) -> None:
    """The warm-up is spread over as many slots as Ollama has."""
    assert str(settings.num_parallel) == ollama["OLLAMA_NUM_PARALLEL"]


def test_all_models_fit_at_once(settings: Settings, ollama: dict[str, str]) -> None:
    """Ollama may hold as many models as the agent waits for."""
    assert int(ollama["OLLAMA_MAX_LOADED_MODELS"]) >= len(settings.models)


def test_queue_takes_what_the_platform_sends(service: Service, ollama: dict[str, str]) -> None:
    """Requests that wait for a load are not refused while the platform may send them."""
    assert int(ollama["OLLAMA_MAX_QUEUE"]) >= service.concurrency


def test_context_is_pinned_in_both_places(settings: Settings, ollama: dict[str, str]) -> None:
    """The agent's pin is the server's default too, for requests that cannot ask (/v1)."""
    assert {str(pin.num_ctx) for pin in settings.models} == {ollama["OLLAMA_CONTEXT_LENGTH"]}


def test_model_stays_loaded(settings: Settings, ollama: dict[str, str]) -> None:
    """Neither the agent nor the server's default lets the model go."""
    assert settings.pinned_forever
    assert ollama["OLLAMA_KEEP_ALIVE"] == "-1"


@pytest.mark.parametrize("file", [FILE], indirect=True, ids=lambda file: file.name)
def test_image_is_the_models(document: dict[str, Any], settings: Settings) -> None:
    """The image's name holds the model that the agent asks for."""
    image = revision(document)["containers"][0]["image"]
    assert image.endswith(f"/ollama-{settings.models[0].name.replace(':', '-')}:latest")


def test_agent_watches_the_ingress(service: Service, settings: Settings, ollama: dict[str, str]) -> None:
    """The agent's server, the ingress port and Ollama's own port are one."""
    assert settings.ollama_url == f"http://127.0.0.1:{service.ingress.port}"
    assert ollama["OLLAMA_HOST"] == f"0.0.0.0:{service.ingress.port}"


def test_ingress_and_sidecar_have_the_same_startup_probe(service: Service, settings: Settings) -> None:
    """Whichever of the two the platform gates on, it asks the agent the same question, on the agent's port."""
    ingress, agent = service.containers
    assert ingress.startup is not None
    assert agent.startup is not None
    assert ingress.startup.fields == agent.startup.fields
    for container in service.containers:
        for probe in (container.startup, container.liveness, container.readiness):
            assert probe is None or probe.port == settings.port


def test_hold_is_below_timeout_below_period(startup: Probe, settings: Settings) -> None:
    """A held probe is answered before its time-out, and that ends before the next probe."""
    assert 0 < settings.startup_hold_seconds < startup.timeout_seconds < startup.period_seconds


def test_hold_leaves_no_long_pause(startup: Probe, settings: Settings) -> None:
    """Between two held probes the instance can be ready unnoticed for at most 1.5 s."""
    assert startup.period_seconds - settings.startup_hold_seconds <= 1.5


def test_budget_is_within_the_disputed_bound(startup: Probe, settings: Settings) -> None:
    """Delay and budget pass under the lower documented bound, and the agent's budget is the probe's."""
    budget = startup.failure_threshold * startup.period_seconds
    assert startup.initial_delay_seconds + budget <= STARTUP_BOUND_SECONDS
    assert settings.startup_timeout_seconds == budget


def test_readiness_is_no_slower_than_the_watch(service: Service, settings: Settings) -> None:
    """The ingress's readiness probe sees a loss within two of the agent's own looks."""
    probe = service.ingress.readiness
    assert probe is not None
    assert probe.timeout_seconds < probe.period_seconds
    assert probe.period_seconds * probe.failure_threshold <= 2 * settings.period_seconds


def test_liveness_asks_the_agent_alone(service: Service) -> None:
    """Only the agent has a liveness probe, on its heartbeat: a busy Ollama must not get the instance killed."""
    ingress, agent = service.containers
    assert ingress.liveness is None
    assert agent.liveness is not None
    assert agent.liveness.path == "/live"


def test_each_container_has_a_size_that_exists(document: dict[str, Any]) -> None:
    """Each CPU limit is one that Cloud Run offers, with memory in its range."""
    for limit in limits(document):
        low, high = CPU_AND_MEMORY[int(limit["cpu"])]
        assert low <= gib(limit["memory"]) <= high


def test_containers_fit_the_instance_together(document: dict[str, Any]) -> None:
    """All limits add up to no more than an instance has, and to no less than the GPU asks for."""
    each = limits(document)
    cpu, memory = sum(int(limit["cpu"]) for limit in each), math.fsum(gib(limit["memory"]) for limit in each)
    assert L4_CPU <= cpu <= INSTANCE_CPU
    assert L4_GIB <= memory <= INSTANCE_GIB
    assert [limit.get("nvidia.com/gpu") for limit in each] == ["1", None]


def test_scale_fits_the_gpu_quota(document: dict[str, Any]) -> None:
    """The most instances need no more GPUs than are granted without asking."""
    annotations = document["spec"]["template"]["metadata"]["annotations"]
    low, high = (int(annotations[f"autoscaling.knative.dev/{bound}Scale"]) for bound in ("min", "max"))
    assert 0 <= low <= high <= GPU_QUOTA


def test_gpu_gets_what_it_requires(document: dict[str, Any], settings: Settings) -> None:
    """CPU is always allocated, the environment is gen2, and the agent insists on the GPU."""
    annotations = document["spec"]["template"]["metadata"]["annotations"]
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    assert annotations["run.googleapis.com/execution-environment"] == "gen2"
    assert revision(document)["nodeSelector"] == {"run.googleapis.com/accelerator": "nvidia-l4"}
    assert settings.device == "gpu"


@pytest.mark.parametrize("file", [FILE], indirect=True, ids=lambda file: file.name)
def test_nothing_is_pulled_at_start(document: dict[str, Any]) -> None:
    """The model is in the image, and the image's own command starts Ollama."""
    assert "command" not in revision(document)["containers"][0]


def test_store_is_left_as_it_is(ollama: dict[str, str]) -> None:
    """No model of the cloud, and no pruning: the store's files are what was checked, or is being checked."""
    assert (ollama["OLLAMA_NO_CLOUD"], ollama["OLLAMA_NOPRUNE"]) == ("1", "1")


def test_every_variable_has_its_reason(file: Path) -> None:
    """No environment variable of either container stands without a comment above it."""
    lines = file.read_text().splitlines()
    variables = [i for i, line in enumerate(lines) if re.match(r" {12}- name: [A-Z_]+$", line)]
    assert len(variables) == sum(len(container.env) for container in read_service(file).containers)
    assert [lines[index] for index in variables if not lines[index - 1].strip().startswith("#")] == []


def test_annotations_exist_and_stand_where_they_count(document: dict[str, Any]) -> None:
    """Each annotation is one that the Admin API lists, for the resource (service or revision) that carries it."""
    listed = annotation_places()
    assert "autoscaling.knative.dev/maxScale" in listed
    places = {"Service": document["metadata"], "Revision": document["spec"]["template"]["metadata"]}
    for place, metadata in places.items():
        for name in metadata["annotations"]:
            assert place in listed[name] or listed[name] == ["All", "resources"], f"{name} on the {place}"


def test_price_is_that_of_the_limits(file: Path, document: dict[str, Any]) -> None:
    """The idle price in the file's comment is the one of these limits, at the list prices it names."""
    text = " ".join(file.read_text().replace("#", "").split())
    each = limits(document)
    cpu, memory = sum(int(limit["cpu"]) for limit in each), math.fsum(gib(limit["memory"]) for limit in each)
    gpu, per_cpu, per_gib, total = map(
        float,
        re.findall(rf"L4 ([\d.]+) \+ {cpu} CPU x ([\d.]+) \+ {memory:g} GiB x ([\d.]+) = \$([\d.]+) per second", text)[
            0
        ],
    )
    assert total == pytest.approx(gpu + cpu * per_cpu + memory * per_gib, abs=1e-7)
    assert f"about ${total * 86400:.0f} a day" in text
