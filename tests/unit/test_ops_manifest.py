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
