"""Reading service.yaml: what is understood, and how complaints name the place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ops.up.errors import ManifestError
from ops.up.manifest import HttpGet, TcpSocket, read_service

if TYPE_CHECKING:
    from pathlib import Path


def service(container: dict[str, Any] | None = None, **template: Any) -> dict[str, Any]:
    """Return a service of one ingress container, with changes."""
    first = {"name": "a", "image": "a:1", "ports": [{"containerPort": 80}], **(container or {})}
    spec = {"containers": [first, {"name": "b", "image": "b:1"}]}
    return {"kind": "Service", "metadata": {"name": "s"}, "spec": {"template": {"spec": spec, **template}}}


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
    assert startup.action == HttpGet("/", 80)
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
    assert (probe.action, probe.timeout_seconds, probe.failure_threshold) == (TcpSocket(80), 240, 1)


def test_volume_is_known_by_its_mount(tmp_path: Path) -> None:
    """A container's mount leads to the revision's volume and its kind; a slash at the end is none of the path."""
    got = read(tmp_path, mounting({"emptyDir": {"medium": "Memory"}}, {"name": "v", "mountPath": "/run/v/"}))
    (mount,) = got.ingress.mounts
    assert (mount.path, mount.volume.name, mount.volume.kind) == ("/run/v", "v", "emptyDir")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: [", "is no YAML"),
        ({"kind": "Pod"}, "kind: expected 'Service', found 'Pod'"),
        ([], "top level: expected a mapping, found []"),
        (service({"image": 3}), "containers[0].image: expected a text, found 3 (quote it?)"),
        (service({"ports": []}), "containers: expected exactly one container with `ports` (the ingress), found none"),
        (service({"ports": [{}]}), "ports[0].containerPort: expected a whole number from 1 to 65535, found nothing"),
        (service({"ports": 80}), "ports: expected a list, found 80"),
        (service({"env": [{"name": "A", "value": 1}]}), "env[0].value: expected a text, found 1 (quote it?)"),
        (service({"env": [{"name": "A", "valueFrom": {}}]}), "env[0]: valueFrom cannot be resolved"),
        (service({"startupProbe": {"grpc": {}}}), "startupProbe: expected httpGet or tcpSocket"),
        (
            service({"startupProbe": {"tcpSocket": {}, "periodSeconds": "ten"}}),
            "startupProbe.periodSeconds: expected a whole number from 1 to 3600, found 'ten'",
        ),
        (
            service(metadata={"annotations": {"run.googleapis.com/container-dependencies": "a"}}),
            """annotations.run.googleapis.com/container-dependencies: expected JSON such as {"b": ["a"]}""",
        ),
        (
            service(metadata={"annotations": {"run.googleapis.com/container-dependencies": '{"b": ["c"]}'}}),
            "no container is called 'c'; there are a, b",
        ),
        (
            service(
                {"startupProbe": {"httpGet": {}}},
                metadata={"annotations": {"run.googleapis.com/container-dependencies": '{"a":["a"]}'}},
            ),
            "the containers wait for each other",
        ),
        (
            service(metadata={"annotations": {"run.googleapis.com/container-dependencies": '{"b":["a"]}'}}),
            "'a' is waited for, so it must have a startupProbe of its own",
        ),
        (mounting({}), "volumes[0]: expected one kind of volume, such as emptyDir, found none"),
        (
            mounting({"emptyDir": {}, "csi": {}}),
            "volumes[0]: expected one kind of volume, such as emptyDir, found csi, ",
        ),
        (mounting({"emptyDir": {}}, name="../v"), "volumes[0].name: expected lower-case letters, digits and hyphens"),
        (mounting({"emptyDir": {}}, {"mountPath": "/v"}), "volumeMounts[0].name: expected a text, found nothing"),
        (
            mounting({"emptyDir": {}}, {"name": "w", "mountPath": "/v"}),
            "containers[0].volumeMounts[0].name: no volume is called 'w'; there are v",
        ),
        (mounting({"emptyDir": {}}, {"name": "v", "mountPath": "/"}), "mountPath: expected an absolute path below '/'"),
        (mounting({"emptyDir": {}}, {"name": "v", "mountPath": "v"}), "mountPath: expected an absolute path below '/'"),
        (mounting({"emptyDir": {}}, twice=True), "spec.volumes: expected names that differ, found 'v' twice"),
        (service({"name": "b"}), "containers: expected names that differ, found 'b' twice"),
        (service({"startupProbe": {"httpGet": {"path": "ready"}}}), "expected a path that begins with '/', found 'r"),
    ],
)
def test_complaint_names_the_place(tmp_path: Path, content: Any, complaint: str) -> None:
    """Whatever is wrong, the error says in which file, where, and what was expected."""
    with pytest.raises(ManifestError, match=r"service\.yaml: .*" + re.escape(complaint)):
        read(tmp_path, content)


def test_missing_file_is_explained(tmp_path: Path) -> None:
    """A file that is not there says how to give one."""
    with pytest.raises(ManifestError, match=r"absent\.yaml: cannot be read .*: ops up FILE"):
        read_service(tmp_path / "absent.yaml")
