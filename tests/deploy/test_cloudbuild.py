"""cloudbuild.yaml: valid for the Cloud Build API, and its steps in the right order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.service import schema
from ops.service.strict import read_service

ROOT = Path(__file__).parents[2]
FILE = ROOT / "cloudbuild.yaml"
# Stands in place of the engine: the agent's check and the look at its cache exit as told, one container has ended.
DOCKER = """#!/bin/sh
case "$*" in
  *" check") exit "$CHECK" ;;
  *"/bin/python -c "*) exit "$RESTORED" ;;
  "inspect "*) [ "${*##* }" = "$ENDED" ] && echo false || echo true ;;
  *) echo "docker $*" ;;
esac
"""


def build() -> dict[str, Any]:
    """Return the file as it stands."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def test_file_is_valid_for_the_cloud_build_api() -> None:
    """The API's own schema accepts every name and type of the file."""
    table = json.loads(Path(__file__).with_name("cloudbuild_types.json").read_text())
    assert list(schema.problems(build(), table, "Build")) == []


def test_build_bakes_what_the_service_runs() -> None:
    """Model, context, slots and KV cache type of the build are those of service.yaml."""
    given = build()["substitutions"]
    ollama, agent = (container.env for container in read_service(ROOT / "service.yaml").containers)
    assert f"{given['_MODEL']}@{given['_NUM_CTX']}" == agent["PROBE_AGENT_MODEL"]
    for name, variable in (
        ("_NUM_CTX", "OLLAMA_CONTEXT_LENGTH"),
        ("_NUM_PARALLEL", "OLLAMA_NUM_PARALLEL"),
        ("_KV_CACHE_TYPE", "OLLAMA_KV_CACHE_TYPE"),
    ):
        assert given[name] == ollama[variable]


def test_machine_is_large_enough() -> None:
    """The machine, the disk and the time are those that a model of many gigabytes needs."""
    options = build()["options"]
    assert (options["machineType"], options["diskSizeGb"]) == ("E2_HIGHCPU_32", "500")
    assert int(build()["timeout"].rstrip("s")) > 3600


def test_each_step_waits_for_what_it_needs() -> None:
    """Lint comes first, both builds run side by side, and nothing is deployed before smoke, digests and a dry run."""
    waits = {step["id"]: step["waitFor"] for step in build()["steps"]}
    assert waits == {
        "lint": ["-"],
        "builder": ["lint"],
        "build-ollama": ["builder"],
        "build-agent": ["builder"],
        "smoke": ["build-ollama", "build-agent"],
        "pin": ["smoke"],
        "dry-run": ["pin"],
        "deploy": ["dry-run"],
    }


def script(step: str) -> str:
    """Return a step's script."""
    return next(str(each["script"]) for each in build()["steps"] if each["id"] == step)


def test_the_weights_are_stored_once() -> None:
    """The build's cache is the image's own layers: the bake's, with the weights in it, is not exported beside them."""
    assert "mode=min" in script("build-ollama").partition("--cache-to")[2].split()[0]


def run_tools(step: str, folder: Path, service: str) -> subprocess.CompletedProcess[str]:
    """Run a step's script with this machine's tools, in a folder that stands in place of /workspace."""
    for name in ("service.yaml", "cloudbuild.yaml", "deploy"):
        if not (folder / name).exists():
            (folder / name).symlink_to(ROOT / name)
    made = (" -m venv ", "/pip ")  # the tools are there already
    lines = [line for line in script(step).splitlines() if not any(each in line for each in made)]
    text = "\n".join(lines).replace("/workspace/.tools/bin", str(Path(sys.executable).parent))
    given = {**build()["substitutions"], "_SERVICE_FILE": service}
    images = {"OLLAMA": "host/p/r/ollama", "AGENT": "host/p/r/probe-agent"}
    environ = {**given, **images, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["/bin/sh", "-c", text.replace("/workspace", str(folder))]
    return subprocess.run(
        command, cwd=folder, env=environ, timeout=50, check=False, text=True, capture_output=True
    )  # seconds: four commands, each below one


def test_what_a_deployment_lacks_is_found_before_the_build(tmp_path: Path) -> None:
    """The lint step passes the service, and refuses one with names left to fill in, which the pin step would refuse."""
    assert run_tools("lint", tmp_path, "service.yaml").returncode == 0
    unfilled = run_tools("lint", tmp_path, "deploy/service.gcs.yaml")
    assert unfilled.returncode == 1
    assert "error [placeholder]" in unfilled.stdout


def test_the_pin_step_changes_the_images_alone(tmp_path: Path) -> None:
    """What is deployed is the service's file, comments too, with the digests that the builds told."""
    for name in ("ollama", "agent"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"containerimage.digest": f"sha256:{'01' * 32}"}))
    pinned = run_tools("pin", tmp_path, "service.yaml")
    assert pinned.returncode == 0, pinned.stderr
    before, after = (ROOT / "service.yaml").read_text(), (tmp_path / "deploy.yaml").read_text()
    changed = [new.strip() for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert changed == [f"image: host/p/r/{name}@sha256:{'01' * 32}" for name in ("ollama", "probe-agent")]


def test_the_smoke_step_runs_the_services_own_flags(tmp_path: Path) -> None:
    """The lint step writes the variables of both containers where the smoke step reads them."""
    program = script("lint").partition("<<'PYTHON'\n")[2].partition("PYTHON\n")[0]
    command = [sys.executable, "-c", program, str(ROOT / "service.yaml")]
    subprocess.run(command, cwd=tmp_path, timeout=20, check=True)

    assert "LLAMA_ARG_SWA_FULL=1" in (tmp_path / "ollama.env").read_text().splitlines()
    assert "PROBE_AGENT_RUNTIME_DIR=/run/ollama" in (tmp_path / "probe-agent.env").read_text().splitlines()
    assert all(f"--env-file {file.name}" in script("smoke") for file in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("check", "restored", "ended", "status", "words"),
    [
        (0, 0, "none", 0, ""),
        (0, 1, "none", 1, "smoke: the prompt cache was not restored; see both logs above"),
        (1, 0, "ollama", 1, "smoke: ollama has ended; see both logs above"),
        (2, 0, "agent", 1, "smoke: agent has ended; see both logs above"),
    ],
)
def test_the_smoke_step_fails_at_once(
    tmp_path: Path, check: int, restored: int, ended: str, status: int, words: str
) -> None:
    """An ended container or a cache that was not restored ends the step, with both logs; a ready pair passes."""
    (docker := tmp_path / "docker").write_text(DOCKER)
    docker.chmod(0o755)
    told = {
        "CHECK": str(check),
        "RESTORED": str(restored),
        "ENDED": ended,
        "OLLAMA": "o",
        "AGENT": "a",
        "BUILD_ID": "1",
    }
    variables = {**os.environ, **told, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", script("smoke")], env=variables, capture_output=True, text=True, timeout=20, check=False
    )

    assert done.returncode == status, done.stderr
    assert words in done.stdout
    assert ("docker logs ollama\ndocker logs agent\n" in done.stdout) == bool(status)
