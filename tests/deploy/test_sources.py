"""deploy/service.*.yaml: each differs from service.yaml in what its source requires, and in nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.cloudrun.limits import gib
from ops.up.manifest import read_service
from probe_agent.settings import Settings

ROOT = Path(__file__).parents[2]
ANNOTATIONS = "spec/template/metadata/annotations/"
SPEC = "spec/template/spec/"
OLLAMA, AGENT = f"{SPEC}containers/ollama/", f"{SPEC}containers/probe-agent/"

EVERY_SOURCE = {
    f"+ {ANNOTATIONS}run.googleapis.com~network-interfaces",
    f"+ {ANNOTATIONS}run.googleapis.com~vpc-access-egress",
    f"+ {SPEC}serviceAccountName",
    # The model is not in the image: neither is its prompt cache, nor what is told of both.
    f"~ {OLLAMA}image",
    f"# {OLLAMA}env/OLLAMA_MODELS",
    f"# {OLLAMA}env/OLLAMA_NOPRUNE",
    f"- {OLLAMA}env/LLAMA_ARG_SWA_FULL",
    f"- {OLLAMA}env/RUNTIME_DIR",
    f"- {OLLAMA}volumeMounts/runtime",
    f"+ {OLLAMA}volumeMounts/models",
    f"+ {AGENT}env/PROBE_AGENT_MODEL_SOURCE",
    f"- {AGENT}env/PROBE_AGENT_RUNTIME_DIR",
    f"- {SPEC}volumes/runtime",
    f"+ {SPEC}volumes/models",
}
BUCKET = EVERY_SOURCE | {
    f"# {ANNOTATIONS}autoscaling.knative.dev~minScale",
    f"+ {AGENT}env/PROBE_AGENT_MODEL_STORE",
    f"- {AGENT}volumeMounts/runtime",
    f"+ {AGENT}volumeMounts/models",
    f"# {OLLAMA}resources/limits/cpu",
    f"~ {AGENT}resources/limits/cpu",
    f"~ {AGENT}resources/limits/memory",
}
# Places by path: + only in the variant, - only in service.yaml, ~ another value, # only another comment.
DIFFERENCES = {
    "mount": BUCKET,
    "gcs": BUCKET
    | {
        f"+ {AGENT}env/PROBE_AGENT_MODEL_BUCKET",
        f"+ {OLLAMA}command",
        f"+ {OLLAMA}args",
        f"+ {OLLAMA}env/HOME",
    },
    "pull": EVERY_SOURCE
    | {f"# {AGENT}volumeMounts", f"- {AGENT}volumeMounts/runtime", f"+ {AGENT}volumeMounts/models"},
}


def path_of(source: str) -> Path:
    """Return the file of a source; `image` is service.yaml."""
    return ROOT / ("service.yaml" if source == "image" else f"deploy/service.{source}.yaml")


def revision(source: str) -> dict[str, Any]:
    """Return the revision's spec."""
    spec: dict[str, Any] = yaml.safe_load(path_of(source).read_text())["spec"]["template"]["spec"]
    return spec


def volume(source: str) -> dict[str, Any]:
    """Return the volume that holds the models."""
    return next(each for each in revision(source)["volumes"] if each["name"] == "models")


def places(source: str) -> dict[str, tuple[str | None, str]]:
    """Return every place of a file: its path, its value (None where it holds others), and its comment.

    Items of a list go by their name, where they have one: what stands before an item does not rename it.
    """
    text = path_of(source).read_text()
    lines = text.splitlines()
    top = yaml.compose(text)
    assert top is not None

    def comment(line: int) -> str:
        first = line
        while first > 0 and lines[first - 1].lstrip().startswith("#"):
            first -= 1
        beside = lines[line].partition(" # ")[2]
        return "\n".join([*(each.strip() for each in lines[first:line]), beside])

    def inner(node: yaml.Node) -> Iterator[tuple[str, int, yaml.Node]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield key.value.replace("/", "~"), key.start_mark.line, value
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                named = {key.value: value.value for key, value in item.value} if item.id == "mapping" else {}
                yield named.get("name", str(index)), item.start_mark.line, item

    def walk(node: yaml.Node, path: str) -> Iterator[tuple[str, tuple[str | None, str]]]:
        for name, line, value in inner(node):
            here = f"{path}/{name}" if path else name
            leaf = f"{value.tag} {value.value}" if isinstance(value, yaml.ScalarNode) else None
            # The head comment, above the first key, names the file: it differs.
            yield here, (leaf, "" if line == top.start_mark.line else comment(line))
            yield from walk(value, here)

    return dict(walk(top, ""))


def differences(source: str) -> set[str]:
    """Return how a variant differs from service.yaml; of a part that only one has, the topmost place."""
    ours, theirs = places("image"), places(source)

    def top(path: str, other: dict[str, Any]) -> bool:
        parent = path.rpartition("/")[0]
        return path not in other and (not parent or parent in other)

    found = {f"- {path}" for path in ours if top(path, theirs)} | {f"+ {path}" for path in theirs if top(path, ours)}
    for path in ours.keys() & theirs.keys():
        (value, comment), (new_value, new_comment) = ours[path], theirs[path]
        if value != new_value:
            found.add(f"~ {path}")
        elif comment != new_comment and not path.endswith("/name"):
            found.add(f"# {path}")
    return found


def test_each_source_has_its_file() -> None:
    """There is a variant for every source but the image, and none beside them."""
    assert {file.name for file in (ROOT / "deploy").iterdir()} == {path_of(source).name for source in DIFFERENCES}


@pytest.mark.parametrize("source", DIFFERENCES)
def test_variant_differs_only_as_its_source_requires(source: str) -> None:
    """Values and comments are service.yaml's, but for the places that are listed here."""
    assert differences(source) == DIFFERENCES[source]


@pytest.mark.parametrize("source", DIFFERENCES)
def test_network_is_direct_vpc_for_all_traffic(source: str) -> None:
    """One interface in one subnet, and everything goes through it (R9)."""
    annotations = yaml.safe_load(path_of(source).read_text())["spec"]["template"]["metadata"]["annotations"]
    interfaces = json.loads(annotations["run.googleapis.com/network-interfaces"])
    assert [sorted(each) for each in interfaces] == [["network", "subnetwork"]]
    assert annotations["run.googleapis.com/vpc-access-egress"] == "all-traffic"


@pytest.mark.parametrize("source", DIFFERENCES)
def test_store_is_one_volume_for_who_reads_it(source: str) -> None:
    """Ollama looks where the agent puts or checks the models, and both mount the same volume there."""
    service = read_service(path_of(source))
    settings = Settings.from_environ(service.containers[1].env)
    assert settings.model_source == source
    assert settings.model_store == service.ingress.env["OLLAMA_MODELS"]
    users = [
        container["name"]
        for container in revision(source)["containers"]
        if {"name": "models", "mountPath": settings.model_store} in container.get("volumeMounts", [])
    ]
    assert users == ["ollama", "probe-agent"]


@pytest.mark.parametrize("source", DIFFERENCES)
def test_service_account_is_the_sources_own(source: str) -> None:
    """Who reads a bucket is not who may only write to the log."""
    account = revision(source)["serviceAccountName"]
    assert account == f"ollama-{'puller' if source == 'pull' else 'reader'}@PROJECT_ID.iam.gserviceaccount.com"


@pytest.mark.parametrize(("source", "writer"), [("gcs", 1), ("pull", 0)])
def test_memory_of_the_writer_holds_the_model(source: str, writer: int) -> None:
    """What is written to a memory volume is the writer's memory: the volume fits, with 512 MiB to spare."""
    limit = gib(revision(source)["containers"][writer]["resources"]["limits"]["memory"])
    empty = volume(source)["emptyDir"]
    size = gib(empty["sizeLimit"])
    assert limit is not None
    assert size is not None
    assert empty["medium"] == "Memory"
    assert size * 2**30 >= 4.0e9 * 1.25  # gemma3:4b-it-qat and a quarter more
    assert size + 0.5 <= limit


def test_mounted_bucket_is_the_downloaded_one_and_read_only() -> None:
    """Both sources read one bucket; nobody writes to the mounted one."""
    csi = volume("mount")["csi"]
    assert csi["readOnly"] is True
    settings = Settings.from_environ(read_service(path_of("gcs")).containers[1].env)
    assert settings.model_bucket == f"gs://{csi['volumeAttributes']['bucketName']}"


def test_ollama_cannot_write_what_the_agent_downloads() -> None:
    """The folders are the agent's, by the user of its image, and Ollama runs as another one."""
    script = revision("gcs")["containers"][0]["args"][0]
    user = next(
        line.split()[1].partition(":")[0]
        for line in (ROOT / "probe-agent" / "Dockerfile").read_text().splitlines()
        if line.startswith("USER ")
    )
    store = read_service(path_of("gcs")).ingress.env["OLLAMA_MODELS"]
    assert f"install -d -o {user} -g {user} {store} {store}/blobs {store}/manifests && " in script
    assert script.endswith("exec setpriv --reuid=65534 --regid=65534 --clear-groups ollama serve")
    assert user not in ("0", "65534")


def test_commands_of_the_document_make_what_the_files_name() -> None:
    """Every network, bucket and account of the files is made by a command in docs/model-sources.md."""
    text = (ROOT / "docs" / "model-sources.md").read_text()
    for source in DIFFERENCES:
        annotations = yaml.safe_load(path_of(source).read_text())["spec"]["template"]["metadata"]["annotations"]
        (interface,) = json.loads(annotations["run.googleapis.com/network-interfaces"])
        assert f"gcloud compute networks create {interface['network']} " in text
        assert f"gcloud compute networks subnets create {interface['subnetwork']} " in text
        assert (
            f"gcloud iam service-accounts create {revision(source)['serviceAccountName'].partition('@')[0]}\n" in text
        )
    bucket = volume("mount")["csi"]["volumeAttributes"]["bucketName"].replace("project-id", "$PROJECT_ID")
    assert f"gcloud storage buckets create gs://{bucket} " in text
