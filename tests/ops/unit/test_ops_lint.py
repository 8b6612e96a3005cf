"""`ops lint`: each rule finds its defect, at its place, with a fix; and our own files have none."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.lint import command, engine, schema
from ops.lint.engine import lint, lint_files
from ops.lint.findings import RULES, Options, Problem, path_text, rule

NESTED = 1_000
"""Beyond Python's stack; more of them only take the parser longer, up to eight seconds."""
ROOT = Path(__file__).parents[3]
GOLDEN = sorted((ROOT / "tests" / "lint").glob("*.yaml"))
OTHER_RULES = {"yaml", "duplicate-key", "kind", "schema", "build-wait-for", "build-substitution", "build-agreement"}
"""Rules over the text, or over a build, which are not in the registry of rules over a service."""
SERVICE = (ROOT / "service.yaml").read_text(encoding="utf-8")


def arguments(*words: str) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def rules(text: str, **options: Any) -> set[str]:
    """Return the rules that find something in a text."""
    return {finding.rule for finding in lint(text, "service.yaml", Options(**options))}


def changed(old: str, new: str, text: str = SERVICE) -> str:
    """Return our service with one change, everywhere."""
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_golden_file_has_its_findings(file: Path) -> None:
    """A bad YAML has exactly the findings beside it, each with line, place, reason and fix."""
    expected = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    options = Options(deploy="--deploy" in expected["arguments"])

    names = [file.name, *expected.get("with", [])]
    files = {name: (file.parent / name).read_text(encoding="utf-8") for name in names}
    both = lint_files(files, options)

    found = [dataclasses.asdict(finding) for finding in both if finding.file == file.name]
    assert found == [{**finding, "file": file.name} for finding in expected["findings"]]
    assert file.stem.split(".")[0] in {finding["rule"] for finding in found}


def test_every_rule_has_a_golden_file() -> None:
    """No rule is without a bad YAML, and no bad YAML without a rule; there are at least 25."""
    assert {file.stem.split(".")[0] for file in GOLDEN} == set(RULES) | OTHER_RULES
    assert len(GOLDEN) >= 25
    assert {file.stem for file in GOLDEN} == {file.stem for file in (ROOT / "tests" / "lint").glob("*.json")}


@pytest.mark.parametrize("each", RULES.values(), ids=lambda each: each.id)
def test_every_rule_says_what_it_checks(each: Any) -> None:
    """A rule's docstring is a sentence."""
    assert each.meaning.strip().endswith(".")


OURS = [
    file
    for pattern in ("service.yaml", "cloudbuild.yaml", "deploy/service*.yaml")
    for file in sorted(ROOT.glob(pattern))
]


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_our_own_files_have_no_findings(file: Path) -> None:
    """What this repository deploys is without a finding."""
    assert lint(file.read_text(encoding="utf-8"), file.name) == []


def test_our_own_files_agree() -> None:
    """All of them linted together are without a finding."""
    assert lint_files({str(file): file.read_text(encoding="utf-8") for file in OURS}) == []


def test_placeholder_images_are_for_the_build_alone() -> None:
    """With --deploy a placeholder is a finding even with a digest; a digest of a real image is none."""
    assert rules(SERVICE, deploy=True) == {"image-digest"}
    digest = "@sha256:" + "0" * 64
    placeholder = changed(":latest", digest)
    assert rules(placeholder, deploy=True) == {"placeholder"}
    assert rules(changed("REGION-docker.pkg.dev/PROJECT_ID/REPOSITORY", "host/p/r", placeholder), deploy=True) == set()


@pytest.mark.parametrize("source", ["mount", "gcs", "pull"])
def test_what_the_guide_fills_in_is_all_that_there_is(source: str) -> None:
    """A service of deploy/ has placeholders until its guide's command and `ops pin` have filled them in."""
    text = (ROOT / "deploy" / f"service.{source}.yaml").read_text(encoding="utf-8")
    assert rules(text, deploy=True) == {"placeholder", "image-digest"}
    filled = text.replace("PROJECT_ID", "shop-1").replace("project-id", "shop-1")
    for image in ("docker.io/ollama/ollama:0.32.15", "REGION-docker.pkg.dev/shop-1/REPOSITORY/probe-agent:latest"):
        filled = changed(image, f"host/r/image@sha256:{'0' * 64}", filled)
    assert rules(filled, deploy=True) == set()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("http://metadata.google.internal/computeMetadata/v1/project/project-id", False),
        ("see the NETWORK page", False),
        ("REGION=x", False),
        ("MY_REGION", False),
        ("https://host/project-id", False),
        ("gs://${PROJECT_ID}-x/models", True),
        ("gs://x/BUCKET_NAME", True),
        ("https://$REGION-run.googleapis.com/", True),
        ("PROJECT", True),
        ("projects/YOUR_PROJECT/x", True),
        ("gs://my-project-id/x", True),
    ],
)
def test_placeholder_is_a_whole_part_of_a_value(value: str, found: bool) -> None:
    """A word counts between the signs that part a name, also behind a $ that nobody expands; not in a sentence."""
    env = "            - name: PROBE_AGENT_MODEL\n"
    named = changed(env, f"            - name: REGION\n              value: {value}\n{env}")
    assert ("placeholder" in rules(named, deploy=True)) is found


def test_what_a_shell_expands_is_no_placeholder() -> None:
    """A command sets and reads what it likes, and a label may be called as an example is."""
    args = """          args: ['REGION="$(cat /region)"; export REGION', NETWORK, '$PROJECT_ID']\n"""
    named = changed("        - name: probe-agent\n", f"        - name: probe-agent\n{args}")
    named = changed("  name: ollama-gemma\n", "  name: ollama-gemma\n  labels: {team: project-id-7}\n", named)
    assert rules(named, deploy=True) == {"image-digest"}


def test_quota_is_the_operators() -> None:
    """Whoever has more GPUs says so, and the warning is gone."""
    more = changed("maxScale: '3'", "maxScale: '7'")
    assert rules(more) == {"scale"}
    assert rules(more, gpu_quota=7) == set()


def test_file_of_the_image_is_no_finding() -> None:
    """A variable that names a file of the image is right, and the other rules still see the settings."""
    env = "            - name: PROBE_AGENT_MODEL\n"
    prompts = f"            - name: PROBE_AGENT_WARMUP_PROMPTS\n              value: /no/such/file\n{env}"
    assert rules(changed(env, prompts)) == set()
    assert rules(changed(env, prompts, changed("'8.5'", "'9.5'"))) == {"startup-hold"}


SHARED = """      volumes:
        - name: model
          emptyDir: {medium: Memory, sizeLimit: 7Gi}
"""
NETWORK = """        run.googleapis.com/network-interfaces: '[{"network":"ollama","subnetwork":"ollama"}]'
        run.googleapis.com/vpc-access-egress: all-traffic
"""
MOUNTS = """          volumeMounts:
            - {name: model, mountPath: /models}
"""
GCS = """            - {name: PROBE_AGENT_MODEL_SOURCE, value: gcs}
            - {name: PROBE_AGENT_MODEL_BUCKET, value: gs://bucket/prefix}
            - name: PROBE_AGENT_MODEL
"""


def test_volumes_of_both_containers_are_right() -> None:
    """A download into a volume that both containers mount has no finding; mounted elsewhere by one, it has."""
    shared = changed("            - name: PROBE_AGENT_MODEL\n", GCS, changed("          volumeMounts:\n", MOUNTS))
    shared = changed("      volumes:\n", SHARED, shared)
    shared = changed("        autoscaling.knative.dev/minScale: '0'\n", NETWORK, shared)
    assert rules(shared) == {"memory-volume"}  # what the agent downloads is the agent's memory
    shared = changed("cpu: '1'\n              memory: 512Mi", "cpu: '2'\n              memory: 8Gi", shared)
    assert rules(shared) == set()
    at = shared.rindex("mountPath: /run/ollama")
    moved = shared[:at] + "mountPath: /run/other" + shared[at + 22 :]
    assert rules(moved) == {"runtime-dir"}
    told = "PROBE_AGENT_RUNTIME_DIR\n              value: /run/"
    assert rules(changed(f"{told}ollama", f"{told}other", moved)) == set()  # one folder by two names


NAME, MAPPED = {"build-substitution"}, {"automapSubstitutions": True}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"steps": [{"name": "x", "id": "a"}, {"name": "x", "id": "a"}]}, {"build-wait-for"}),
        ({"steps": [{"name": "x", "id": "a"}, {"name": "x", "waitFor": ["a", "-"]}]}, set()),
        ({"steps": [{"name": "x", "script": "_OWN=1; echo $_OWN"}]}, set()),
        ({"steps": [{"name": "x", "script": "read -r _A _OWN; echo ${_OWN}; echo ${_LATER:-none}"}]}, set()),
        ({"steps": [{"name": "x", "script": "echo $_OWN"}]}, set()),
        ({"steps": [{"name": "x", "script": "echo $_A", "secretEnv": ["_A"]}]}, set()),
        ({"steps": [{"name": "x", "script": "echo $_A"}, {"name": "$_A"}], "substitutions": {"_A": "b"}}, NAME),
        ({"steps": [{"name": "x", "script": "echo $_A", "env": ["_A=$_A"]}], "substitutions": {"_A": "b"}}, set()),
        ({"steps": [{"name": "${_A//x/y}"}], "substitutions": {"_A": "b"}}, set()),
        ({"steps": [{"name": "x", "args": ["$$$_OWN"]}]}, NAME),
        ({"steps": [{"name": "x", "args": ["$$_OWN $PROJECT_ID"]}]}, set()),
        ({"steps": [{"name": "x"}], "substitutions": {"_A": "b"}}, {"build-substitution"}),
        ({"steps": [{"name": "$_B"}], "substitutions": {"_A": "b", "_B": "$_A"}}, set()),
        ({"steps": [{"name": "$_B"}], "options": {"substitutionOption": "ALLOW_LOOSE"}}, set()),
        ({"steps": [{"name": "x", "automapSubstitutions": True}], "substitutions": {"_A": "b"}}, set()),
        ({"steps": [{"name": "x", "args": ["a"]}], "options": MAPPED, "substitutions": {"_A": "b"}}, NAME),
        ({"steps": [{"name": "x", "args": ["_A"]}], "options": MAPPED, "substitutions": {"_A": "b"}}, set()),
        ({"steps": [{"name": "x", "script": "x $_A"}], "options": MAPPED, "substitutions": {"_A": "b"}}, set()),
    ],
)
def test_build_is_read_as_cloud_build_reads_it(change: dict[str, Any], found: set[str]) -> None:
    """Steps wait for earlier ones, and each substitution is declared and used, in the ways that there are."""
    assert rules(yaml.safe_dump(change)) == found


@pytest.mark.parametrize(
    "script",
    [
        ". ./versions.env; echo $_OTHER",
        "printf -v _A %s x; echo $_A",
        '[ -n "$_OPT" ] && exit',
        "sed 's/$_PLACE/x/' | awk '{print $_COL}'",
        "echo \\$_A",
        "while ((_A++ < 3)); do echo $_A; done",
        ": ${_A:=3}; echo $_A",
        "cat <<'END'\n$_OTHER\nEND\n",
        "#!/usr/bin/env node\nconsole.log(`${_A}`)",
        "#!/usr/bin/perl -w\nmy $_A = 1; print $_A",
        "#!/usr/bin/pwsh\nparam($_A)",
        '#!/usr/bin/env python3\nimport string; string.Template("$_A")',
    ],
)
def test_names_that_a_script_may_have_by_itself_are_no_finding(script: str) -> None:
    """A script sets names in many ways, another language means another thing by $, and other names are its own."""
    build = {"steps": [{"name": "x", "script": script}, {"name": "$_A"}], "substitutions": {"_A": "b"}}
    assert rules(yaml.safe_dump(build)) == set()


def test_shells_are_known_by_their_first_line() -> None:
    """A name that is not put into scripts is found in those of each shell, wherever it lies."""
    for line in ("", "#!/bin/sh -e\n", "#!/usr/bin/env bash\n", "#!/busybox/sh\n"):
        build = {"steps": [{"name": "x", "script": f"{line}echo $_A"}, {"name": "$_A"}], "substitutions": {"_A": "b"}}
        assert rules(yaml.safe_dump(build)) == NAME, line


def test_what_cloud_build_gives_a_pull_request_is_known() -> None:
    """Names that Cloud Build provides by itself need no declaration; a script gets them where they are mapped."""
    given = "$_HEAD_BRANCH $_BASE_BRANCH $_HEAD_REPO_URL $_PR_NUMBER"
    assert rules(yaml.safe_dump({"steps": [{"name": "x", "args": [given]}]})) == set()
    assert rules(yaml.safe_dump({"steps": [{"name": "x", "script": given, "automapSubstitutions": True}]})) == set()
    assert rules(yaml.safe_dump({"steps": [{"name": "x", "script": given}]})) == NAME


CLIENT = """        - name: open-webui
          image: ghcr.io/open-webui/open-webui:main
          resources: {limits: {cpu: '1', memory: 512Mi}}
          env:
            - {name: OLLAMA_BASE_URL, value: 'http://localhost:11434'}
            - {name: OLLAMA_HOST, value: 'http://localhost:11434'}
        - name: probe-agent
"""


def test_clients_of_ollama_are_not_taken_for_it() -> None:
    """Another container with variables that are called OLLAMA_… leaves the rules over Ollama as they were."""
    served = changed("        - name: probe-agent\n", CLIENT)
    assert rules(served) == set()
    assert rules(changed("OLLAMA_KEEP_ALIVE", "KEEP_ALIVE", served)) == {"keep-alive"}
    unnamed = changed("ollama-gemma3-4b-it-qat:latest", "model:latest", changed("name: ollama\n", "name: it\n"))
    assert rules(changed("OLLAMA_KEEP_ALIVE", "KEEP_ALIVE", unnamed)) >= {"keep-alive"}


def test_bucket_of_something_else_is_no_model() -> None:
    """A mounted bucket for logs, beside a model of the image, needs neither the network nor to be read-only."""
    bucket = "        - {name: logs, csi: {driver: gcsfuse.run.googleapis.com, volumeAttributes: {bucketName: b}}}\n"
    mount = "          volumeMounts:\n            - {name: logs, mountPath: /logs}\n"
    mounted = changed("          volumeMounts:\n", mount, changed("      volumes:\n", f"      volumes:\n{bucket}"))
    assert rules(mounted) == set()
    assert rules(changed("mountPath: /logs", "mountPath: /models", mounted)) == {"model-egress", "gcsfuse-writable"}


def test_value_from_a_secret_is_no_finding() -> None:
    """A variable whose value the file only refers to is not judged."""
    old = "            - name: PROBE_AGENT_MODEL\n              value: gemma3:4b-it-qat@8192\n"
    new = "            - name: PROBE_AGENT_MODEL\n              valueFrom: {secretKeyRef: {name: s, key: '1'}}\n"
    assert rules(changed(old, new)) == set()


def test_check_value_of_the_rule_of_thumb() -> None:
    """Three models of four slots take 24 at once (R29)."""
    three = changed("gemma3:4b-it-qat@8192", "a:1@8192,b:1@8192,c:1@8192")
    fixes = [finding.fix for finding in lint(three, "x") if finding.rule == "concurrency"]
    assert fixes == ["Set containerConcurrency: 24."]


@pytest.mark.parametrize("junk", ["", "# nothing\n", "[1, 2]", "text", "3", "kind: Service", "steps: 3", "kind: [x]"])
def test_junk_is_a_finding(junk: str) -> None:
    """Whatever the file holds instead of a service is a finding and never a crash."""
    assert lint(junk, "x")


def test_deep_nesting_is_a_finding() -> None:
    """A text nested beyond all sense is no YAML for us, and no crash."""
    assert rules("[" * NESTED) == {"yaml"}


@pytest.mark.parametrize("text", ["a: !!bool maybe", "a: !!timestamp x", "a: !!omap x", "a: !!int x"])
def test_value_that_does_not_fit_its_tag_is_a_finding(text: str) -> None:
    """A tag with a value of another type is no YAML for us, and no crash."""
    assert rules(text) == {"yaml"}


@pytest.mark.parametrize("wrong", [None, "text", 3, True, [], {}, [None], [[]], {"a": None}])
def test_wrong_shape_anywhere_is_the_schemas_business(wrong: Any) -> None:
    """Any part of the service replaced by something of another shape is reported, if at all, but never a crash."""

    def parts(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [place, *(each for key, part in inner for each in parts(part, (*place, key)))]

    service = yaml.safe_load(SERVICE)
    for place in parts(service)[1:]:
        document = copy.deepcopy(service)
        holder = document
        for step in place[:-1]:
            holder = holder[step]
        holder[place[-1]] = wrong
        assert all(problem.reason and problem.fix for _, problem in engine.problems(document, Options())), place


def test_merge_keys_are_no_duplicates() -> None:
    """YAML's merge keys are read as YAML means them."""
    merged = changed("  name: ollama-gemma\n", "  <<: {name: ollama-gemma}\n")
    assert rules(merged) == set()


def test_each_document_of_a_file_is_looked_at() -> None:
    """Of two documents in one file, the second has its findings too."""
    assert rules(SERVICE + "---\nkind: Job\n") == {"kind"}


def test_paths_are_written_as_people_do() -> None:
    """Names with dots or slashes stand in brackets and quotes."""
    assert path_text(("a", 0, "b")) == "a[0].b"
    assert path_text(("a", "x.y/z")) == 'a["x.y/z"]'
    assert path_text(()) == "(top level)"


def test_two_rules_of_one_name_are_refused() -> None:
    """A rule's id is its own."""

    def check(_view: Any, _options: Options) -> Any:
        """Find nothing."""
        yield from list[Problem]()

    with pytest.raises(ValueError, match="two rules are called ingress"):
        rule("ingress")(check)


def test_numbers_of_64_bits_may_be_text() -> None:
    """Cloud Build takes diskSizeGb as a number and as text, as JSON's 64-bit numbers are written."""
    for size in (500, "500"):
        build = {"steps": [{"name": "x"}], "options": {"diskSizeGb": size}}
        assert list(schema.problems(build, schema.BUILD, "Build")) == []


def test_json_is_a_list_of_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--format json prints one list, also of no findings, and the status tells which it was."""
    bad = ROOT / "tests" / "lint" / "startup-tcp.yaml"

    assert command.run(arguments(str(bad), "--format", "json")) == 1
    first = json.loads(capsys.readouterr().out)[0]
    assert list(first) == ["rule", "severity", "file", "line", "path", "reason", "fix"]
    assert (first["rule"], first["severity"], first["file"]) == ("startup-tcp", "error", str(bad))

    assert command.run(arguments(str(ROOT / "service.yaml"), "--format", "json")) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_text_has_a_block_for_each_finding_and_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    """People read file, line, rule, place, reason and fix, and last how many there were."""
    bad = ROOT / "tests" / "lint" / "keep-alive.yaml"

    assert command.run(arguments(str(bad))) == 1

    out = capsys.readouterr().out
    assert f"{bad}:24: error [keep-alive]\n  at   spec.template.spec.containers[0].env\n  why  without" in out
    assert out.endswith("\n1 error, 1 warning in 1 file\n")


def test_warnings_alone_do_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings are shown and the status is 0; with --strict it is 1; --help says so."""
    warned = str(ROOT / "tests" / "lint" / "gcsfuse-writable.yaml")

    assert command.run(arguments(warned)) == 0
    assert capsys.readouterr().out.endswith("\n0 errors, 1 warning in 1 file\n")
    assert command.run(arguments(warned, "--strict")) == 1
    assert command.run(arguments(str(ROOT / "service.yaml"), "--strict")) == 0
    with pytest.raises(SystemExit):
        arguments("--help")
    assert "warnings alone are 0" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# a comment\nservices: {a: {image: b}}\n", "2: is a compose file (top-level services:), which is not linted"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "2: is of kind 'Deployment' (apps/v1), which is not linted"),
        ("apiVersion: v1\nkind: Service\nspec: {}\n", "2: is of kind 'Service' (v1), which is not linted"),
        ("jobs: {}\nname: ci\n", "1: is neither a Knative service nor a Cloud Build configuration (it has jobs, name)"),
        ("- a\n", "1: is a list, which is not linted"),
        ("text\n", "1: is a single value, which is not linted"),
        ("", "1: holds no document"),
    ],
)
def test_what_is_not_linted_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    """A compose file, or any other YAML, is named in one line with what it is; the status is 2; others are linted."""
    other = tmp_path / "other.yaml"
    other.write_text(text)

    assert command.run(arguments(str(other))) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"ops lint: {other}:{said}")
    assert told.err.endswith("; give a service.yaml or a cloudbuild.yaml\n")
    assert told.out == ""
    assert command.run(arguments(str(other), str(ROOT / "service.yaml"))) == 2
    assert capsys.readouterr().out == "no findings in 1 file\n"


def test_our_compose_file_is_known_for_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """compose.yaml is no service with faults."""
    assert command.run(arguments(str(ROOT / "compose.yaml"))) == 2
    assert "is a compose file" in capsys.readouterr().err


def test_build_is_linted_as_it_is_submitted(capsys: pytest.CaptureFixture[str]) -> None:
    """A substitution of the operator stands in place of the file's own, and is held against the service."""
    files = [str(ROOT / "service.yaml"), str(ROOT / "cloudbuild.yaml")]

    assert command.run(arguments(*files)) == 0
    assert command.run(arguments(*files, "--substitution", "_NUM_CTX=8192")) == 0
    capsys.readouterr()
    assert command.run(arguments(*files, "--substitution", "_NUM_CTX=4096")) == 1
    assert "_NUM_CTX is 4096, OLLAMA_CONTEXT_LENGTH in " in capsys.readouterr().out
    elsewhere = "_SERVICE_FILE=deploy/service.gcs.yaml"
    assert command.run(arguments(*files, "--substitution", "_NUM_CTX=4096", "--substitution", elsewhere)) == 0
    assert "deploys none of the services given: it was not held against them" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        arguments("--substitution", "NUM_CTX=1")
    assert "expected _NAME=VALUE, found 'NUM_CTX=1'" in capsys.readouterr().err


def agreement(build: dict[str, Any], build_file: str = "a/cb.yaml", **services: str) -> list[str]:
    """Return the reasons of what a build and the services in its folder disagree about."""
    files = {f"a/{name}.yaml": text for name, text in services.items()} | {build_file: yaml.safe_dump(build)}
    return [each.reason for each in lint_files(files) if each.rule == "build-agreement"]


def test_build_without_a_named_service_has_those_that_its_steps_name() -> None:
    """Where no _SERVICE_FILE says which, a build is held against the services that a step names, and no other."""
    build = {"steps": [{"name": "$_NUM_CTX"}], "substitutions": {"_NUM_CTX": "1"}}
    llama = changed("'8192'", "'1'")
    assert agreement(build, gemma=SERVICE, llama=llama) == []
    for words in (
        ["services", "replace", "gemma.yaml"],
        ["-c", "gcloud run services replace /workspace/gemma.yaml -q"],
    ):
        build["steps"] = [{"name": "$_NUM_CTX", "args": words}]
        (found,) = agreement(build, gemma=SERVICE, llama=llama)
        assert "in a/gemma.yaml is 8192" in found
        assert agreement(build, "b/cb.yaml", gemma=SERVICE) == []


def test_service_file_is_one_of_the_submitted_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """_SERVICE_FILE is looked for from the working directory, then from the build's folder, as the steps' names are."""
    monkeypatch.chdir(tmp_path)
    build: dict[str, Any] = {"steps": [{"name": "$_NUM_CTX", "args": ["$_SERVICE_FILE"]}]}
    for name in ("a/gemma.yaml", "gemma.yaml"):
        build["substitutions"] = {"_NUM_CTX": "1", "_SERVICE_FILE": name}
        assert len(agreement(build, gemma=SERVICE)) == 1
    build["substitutions"] = {"_NUM_CTX": "1", "_SERVICE_FILE": "a/gemma.yaml"}
    assert len(agreement(build, "ci/cb.yaml", gemma=SERVICE)) == 1
    here = {"gemma.yaml": changed("'8192'", "'1'"), "ci/gemma.yaml": SERVICE}
    build["substitutions"] = {"_NUM_CTX": "1", "_SERVICE_FILE": "gemma.yaml"}
    found = lint_files({**here, "ci/cb.yaml": yaml.safe_dump(build)})
    assert "build-agreement" not in {each.rule for each in found}


def test_variable_from_a_secret_is_held_against_nothing() -> None:
    """What the service takes from elsewhere is not known to differ."""
    build = {"steps": [{"name": "$_NUM_PARALLEL s.yaml"}], "substitutions": {"_NUM_PARALLEL": "8"}}
    old = "            - name: OLLAMA_NUM_PARALLEL\n              value: '4'\n"
    new = "            - name: OLLAMA_NUM_PARALLEL\n              valueFrom: {secretKeyRef: {name: s, key: '1'}}\n"
    assert len(agreement(build, s=SERVICE)) == 1
    assert agreement(build, s=changed(old, new)) == []


def test_model_from_elsewhere_is_not_the_builds() -> None:
    """A service that downloads its model does not run what the image was baked with."""
    service = (ROOT / "deploy" / "service.gcs.yaml").read_text(encoding="utf-8")
    build = yaml.safe_dump({"steps": [{"name": "$_MODEL service.yaml"}], "substitutions": {"_MODEL": "other"}})

    assert [each.rule for each in lint_files({"service.yaml": SERVICE, "cloudbuild.yaml": build})] == [
        "build-agreement"
    ]
    assert lint_files({"service.yaml": service, "cloudbuild.yaml": build}) == []


def test_unreadable_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file and one that is no UTF-8 are named with what to do; the status is 2; the others are linted."""
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xe9")

    assert command.run(arguments(str(tmp_path / "none.yaml"), str(latin), str(ROOT / "service.yaml"))) == 2

    said = capsys.readouterr()
    assert "none.yaml: cannot be read: No such file or directory; give the file" in said.err
    assert "latin.yaml: is not UTF-8 text" in said.err
    assert said.out == "no findings in 1 file\n"


def test_quota_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    """A quota that is no number is refused with what is expected."""
    with pytest.raises(SystemExit):
        arguments("--gpu-quota", "many")
    assert "expected a whole number of GPUs, found 'many'" in capsys.readouterr().err
