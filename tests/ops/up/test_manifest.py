"""Reading the service.yaml that is to run: what is understood, and how a refusal names the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.service.containers import HTTP_GET, TCP_SOCKET
from ops.up.errors import ManifestError
from ops.up.manifest import read_service


def service(container: dict[str, Any] | None = None, **template: Any) -> dict[str, Any]:
    """Return a service of one ingress container, with changes."""
    first = {"name": "a", "image": "a:1", "ports": [{"containerPort": 80}], **(container or {})}
    spec = {"containers": [first, {"name": "b", "image": "b:1"}]}
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": "s"},
        "spec": {"template": {"spec": spec, **template}},
    }


def mounting(
    volume: dict[str, Any], mount: dict[str, str] | None = None, *, name: str = "v", twice: bool = False
) -> dict[str, Any]:
    """Return a service with a volume `v`, or two of that name, mounted at /v if not otherwise."""
    content = service({"volumeMounts": [mount or {"name": "v", "mountPath": "/v"}]})
    content["spec"]["template"]["spec"]["volumes"] = [{"name": name, **volume}] * (1 + twice)
    return content


def read(tmp_path: Path, content: Any) -> Any:
    """Write and read a document."""
    file = tmp_path / "service.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return read_service(file)


def test_defaults_are_the_platforms(tmp_path: Path) -> None:
    """What the file leaves out is what Cloud Run's API documents."""
    got = read(tmp_path, service({"startupProbe": {"httpGet": {}}}))
    assert (got.concurrency, got.timeout_seconds) == (80, 300)
    startup = got.ingress.startup
    assert (startup.kind, startup.path, startup.port) == (HTTP_GET, "/", 80)
    numbers = (
        startup.initial_delay_seconds,
        startup.period_seconds,
        startup.timeout_seconds,
        startup.failure_threshold,
    )
    assert numbers == (0, 10, 1, 3)


def test_ingress_without_a_probe_gets_the_platforms(tmp_path: Path) -> None:
    """An ingress without a startup probe gets the default one, TCP within 240 s; a sidecar gets none."""
    got = read(tmp_path, service())
    probe = got.ingress.startup
    assert [container.startup for container in got.containers] == [probe, None]
    assert (probe.kind, probe.port, probe.timeout_seconds, probe.failure_threshold) == (TCP_SOCKET, 80, 240, 1)


def test_volume_is_known_by_its_mount(tmp_path: Path) -> None:
    """A container's mount leads to the revision's volume and its kind; a slash at the end is none of the path."""
    got = read(tmp_path, mounting({"emptyDir": {"medium": "Memory"}}, {"name": "v", "mountPath": "/run/v/"}))
    (mount,) = got.ingress.mounts
    assert (mount.path, mount.volume, [each.kind for each in got.volumes]) == ("/run/v", "v", ["emptyDir"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"kind": "Pod"}, "apiVersion: expected serving.knative.dev/v1"),
        ([], "expected a mapping, found a list"),
        (service({"image": 3}), "containers[0].image: expected text, found a number (3); put it into quotes"),
        (service({"ports": []}), "containers: no container has ports"),
        (service({"ports": 80}), "ports: expected a list, found a number (80)"),
        (
            service({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "1"}}}]}),
            "env[0]: valueFrom cannot be resolved on this machine",
        ),
        (service({"startupProbe": {"grpc": {}}}), "startupProbe: grpc probes are not run on this machine"),
        (
            service(metadata={"annotations": {"run.googleapis.com/container-dependencies": '{"b": ["c"]}'}}),
            "no container is called 'c'; name one of: a, b",
        ),
        (mounting({"emptyDir": {}}, name="../v"), "volumes[0].name: '../v' is not a name for a volume"),
        (mounting({"emptyDir": {}}, {"name": "v", "mountPath": "v"}), "mountPath is not an absolute path below /"),
        (service({"name": "b"}), "containers[1].name: 2 containers are called 'b'"),
    ],
)
def test_a_refusal_names_the_place(tmp_path: Path, content: Any, complaint: str) -> None:
    """The platform's rules are `ops lint`'s; the first one that is broken is an error with file, line and place."""
    with pytest.raises(ManifestError, match=r"service\.yaml.*: .*" + re.escape(complaint)):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"a: [", "is not YAML"),
        (b"a: \xff", "is not UTF-8 text; save it as UTF-8"),
        (b"a: \0", "holds the character"),
        (b"[" * 100_000, "is nested too deeply to be a service"),
        (b"# a comment\n" * 1_000_000, "is larger than 256 KiB"),
        (b"a: 1\n---\na: 2\n", "document"),
        (b"a: 1\na: 2\n", "the key 'a' stands twice; remove one"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    """B6: whatever the file holds, there is one line, soon."""
    file = tmp_path / "service.yaml"
    file.write_bytes(content)
    with pytest.raises(ManifestError) as raised:
        read_service(file)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


def test_dependencies_may_be_yaml_flow(tmp_path: Path) -> None:
    """F4: Google's samples write the annotation as YAML, not as JSON."""
    content = service(
        {"startupProbe": {"httpGet": {}}},
        metadata={"annotations": {"run.googleapis.com/container-dependencies": "{b: [a]}"}},
    )
    assert [container.depends_on for container in read(tmp_path, content).containers] == [(), ("a",)]


def test_a_missing_file_is_explained(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(ManifestError, match=r"absent\.yaml: cannot be read: No such file"):
        read_service(tmp_path / "absent.yaml")
