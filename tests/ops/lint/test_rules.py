"""`ops lint`: each rule finds its defect at its place, and what is right has no finding."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.lint.engine import lint, problems
from ops.lint.findings import Options
from ops.lint.rules import RULES
from ops.service.problem import path_text
from tests.ops.lint.cases import CASES, DELETE

ROOT = Path(__file__).parents[3]
BASE = yaml.safe_load(Path(__file__).with_name("base.yaml").read_text(encoding="utf-8"))
SERVICE = (ROOT / "service.yaml").read_text(encoding="utf-8")
OURS = [ROOT / "service.yaml", *sorted((ROOT / "deploy").glob("service*.yaml"))]
DEPLOY = {"image-digest", "placeholder"}
REFUSED = {
    "http2": ("name: http1", "name: http2", "ingress"),
    "success-threshold": (
        "failureThreshold: 23\n",
        "failureThreshold: 23\n            successThreshold: 3\n",
        "probe-bounds",
    ),
    "service-name": ("name: ollama-gemma\n", "name: Ollama_Gemma\n", "required"),
    "ingress-value": ("run.googleapis.com/ingress: all", "run.googleapis.com/ingress: private", "annotation-value"),
    "cpu": ("cpu: '1'", "cpu: 500m", "cpu-memory"),
    "memory": ("memory: 512Mi", "memory: 256Mi", "cpu-memory"),
    "throttling": ("cpu-throttling: 'false'", "cpu-throttling: 'no'", "annotation-value"),
    "secret": (
        "              value: /models\n",
        "              valueFrom: {secretKeyRef: {key: latest}}\n",
        "variable-source",
    ),
    "two-actions": (
        "            httpGet:\n",
        "            tcpSocket: {port: 9090}\n            httpGet:\n",
        "probe-action",
    ),
    "two-networks": (
        "        run.googleapis.com/execution-environment",
        (
            "        run.googleapis.com/vpc-access-connector: c\n"
            "        run.googleapis.com/network-interfaces: '[{}]'\n"
            "        run.googleapis.com/execution-environment"
        ),
        "vpc-egress",
    ),
    "duplicate-volume": (
        "      volumes:\n",
        "      volumes:\n        - {name: runtime, emptyDir: {}}\n",
        "volume-form",
    ),
}


def patched(changes: dict[str, Any]) -> Any:
    """Return the base with values set or taken away."""
    document = copy.deepcopy(BASE)
    for dotted, value in changes.items():
        steps: list[Any] = [int(step) if step.isdigit() else step.replace("~", ".") for step in dotted.split(".")]
        holder = document
        for step in steps[:-1]:
            holder = holder[step]
        if value is DELETE:
            del holder[steps[-1]]
        elif isinstance(holder, list) and steps[-1] == len(holder):
            holder.append(value)
        else:
            holder[steps[-1]] = value
    return document


@pytest.mark.parametrize("name", CASES)
def test_rule_finds_its_defect(name: str) -> None:
    """A broken service has exactly the expected findings, and each has a reason and a fix."""
    changes, expected = CASES[name]
    found = list(problems(patched(changes), Options(deploy=name in DEPLOY)))

    assert sorted({(rule, path_text(each.place), str(each.severity)) for rule, each in found}) == expected
    assert name.partition(".")[0] in {rule for rule, _ in found}
    assert all(each.reason and each.fix for _, each in found)


def test_the_base_is_right() -> None:
    """The service that the cases break has no finding."""
    assert list(problems(BASE, Options())) == []


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_our_own_files_have_no_findings(file: Path) -> None:
    """What this repository deploys is without a finding."""
    assert lint(file.read_text(encoding="utf-8"), file.name) == []


def rules(text: str, **options: Any) -> set[str]:
    """Return the rules that find something in a text."""
    return {finding.rule for finding in lint(text, "service.yaml", Options(**options))}


@pytest.mark.parametrize(("old", "new", "rule"), REFUSED.values(), ids=REFUSED)
def test_what_the_platform_refuses_is_an_error(old: str, new: str, rule: str) -> None:
    """A value that the API's schema restricts only in prose is found."""
    assert old in SERVICE
    assert rule in rules(SERVICE.replace(old, new))


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "11434"), ("http://0.0.0.0", "80"), ("https://0.0.0.0", "443"), ("0.0.0.0:99999", "11434")],
)
def test_ollama_host_is_read_as_ollama_reads_it(host: str, url: str) -> None:
    """A port that OLLAMA_HOST leaves out is Ollama's default, so requests to containerPort 8080 do not reach it."""
    service = SERVICE.replace("containerPort: 11434", "containerPort: 8080").replace("0.0.0.0:11434", host)
    found = lint(service.replace("127.0.0.1:11434", f"127.0.0.1:{url}"), "service.yaml")
    assert [(each.rule, each.fix) for each in found] == [("ollama-bind", "Set OLLAMA_HOST to 0.0.0.0:8080.")]


def test_placeholder_digest_is_refused_at_a_deployment() -> None:
    """With --deploy, a digest of one digit is a placeholder, and a real one is not."""
    image = SERVICE.replace("REGION-docker.pkg.dev/PROJECT_ID/REPOSITORY", "host/p/r")
    assert rules(image.replace(":latest", f"@sha256:{'0' * 64}"), deploy=True) == {"image-digest"}
    assert rules(image.replace(":latest", f"@sha256:{'01' * 32}"), deploy=True) == set()


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.template.spec.containers.0.readinessProbe.timeoutSeconds": 5},
        {"spec.template.metadata.annotations.run~googleapis~com/execution-environment": DELETE},
        {
            "metadata.annotations.run~googleapis~com/operation-id": "1",
            "metadata.annotations.run~googleapis~com/urls": "[]",
        },
        {"spec.template.spec.containers.1.env.6": {"name": "PORT", "value": "8888"}},
    ],
)
def test_what_the_platform_takes_is_no_finding(changes: dict[str, Any]) -> None:
    """An equal timeout, an unset environment, exported annotations and a sidecar's PORT are right."""
    assert list(problems(patched(changes), Options())) == []


def test_dependencies_are_read_as_yaml() -> None:
    """Dependencies without JSON's quotes are read, and the rules on them find a deadlock."""
    name = "spec.template.metadata.annotations.run~googleapis~com/container-dependencies"
    found = list(problems(patched({name: "{ollama: [probe-agent]}"}), Options()))
    assert [rule for rule, _ in found] == ["dependency-deadlock"]


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 1000, "a: \x00", "a: !!bool maybe", "a: 1\n---\nb: 1\n", "# c\n" * 100_000, "a: &a [*a]"]
)
def test_text_that_cannot_be_read_is_one_finding(text: str) -> None:
    """Whatever cannot be read is one finding of one line."""
    (found,) = lint(text, "service.yaml")
    assert found.rule == "yaml"
    assert "\n" not in found.reason


@pytest.mark.parametrize("wrong", [None, "text", 3, True, [], {}, [None], [[]], {"a": None}])
def test_wrong_shape_anywhere_never_crashes(wrong: Any) -> None:
    """Any part of the service replaced by something of another shape is reported, if at all, without a crash."""

    def parts(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [place, *(each for key, part in inner for each in parts(part, (*place, key)))]

    for place in parts(BASE)[1:]:
        document = copy.deepcopy(BASE)
        holder = document
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = wrong
        assert all(problem.reason and problem.fix for _, problem in problems(document, Options())), place


def test_every_rule_has_a_case_and_says_what_it_checks() -> None:
    """A rule's documentation is a sentence, and a case or a refused file shows it."""
    assert all(each.meaning.strip().endswith(".") for each in RULES.values())
    shown = {name.partition(".")[0] for name in CASES} | {case[2] for case in REFUSED.values()}
    assert set(RULES) <= shown


def test_a_port_is_no_startup_probe_for_ollama_wherever_it_stands() -> None:
    """F10: an Ollama beside another ingress, too, opens its port before the model is loaded."""
    text = """
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: s}
spec:
  template:
    spec:
      containerConcurrency: 4
      containers:
        - {name: web, image: web:1, ports: [{containerPort: 8080}], startupProbe: {tcpSocket: {port: 8080}}}
        - name: ollama
          image: ollama:1
          startupProbe: {tcpSocket: {port: 11434}, timeoutSeconds: 240, periodSeconds: 240, failureThreshold: 1}
"""
    assert "startup-tcp" in rules(text)


def test_a_value_from_a_secret_is_not_judged() -> None:
    """A variable whose value the file only refers to may be right."""
    old = "            - name: PROBE_AGENT_MODEL\n              value: gemma3:4b-it-qat@8192\n"
    new = "            - name: PROBE_AGENT_MODEL\n              valueFrom: {secretKeyRef: {name: s, key: '1'}}\n"
    assert old in SERVICE
    assert rules(SERVICE.replace(old, new)) == set()


def test_clients_of_ollama_are_not_taken_for_it() -> None:
    """Another container with variables that are called OLLAMA_… leaves the rules about Ollama as they were."""
    client = """        - name: client
          image: example.com/client:1
          resources: {limits: {cpu: '1', memory: 512Mi}}
          env:
            - {name: OLLAMA_BASE_URL, value: 'http://localhost:11434'}
            - {name: OLLAMA_HOST, value: 'http://localhost:11434'}
        - name: probe-agent
"""
    served = SERVICE.replace("        - name: probe-agent\n", client)
    assert rules(served) == set()
    assert rules(served.replace("OLLAMA_KEEP_ALIVE", "KEEP_ALIVE")) == {"keep-alive"}


def test_the_rule_of_thumb_has_its_check_value() -> None:
    """Three models of four slots take 24 requests at once (R29)."""
    three = SERVICE.replace("gemma3:4b-it-qat@8192", "a:1@8192,b:1@8192,c:1@8192")
    fixes = [finding.fix for finding in lint(three, "x") if finding.rule == "concurrency"]
    assert fixes == ["Set containerConcurrency: 24."]
