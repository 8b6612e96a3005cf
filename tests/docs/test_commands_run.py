"""The pages' blocks of commands, run as they stand.

Only what this machine cannot know is replaced: free ports, digests, the model. `gcloud` is a program that notes its
arguments.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from lab.servers import REAL_OLLAMA, free_port, wait_until
from ops.smollm2 import gguf_path

ROOT = Path(__file__).parents[2]
DOCS = sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", "ollama-image/README.md", *DOCS]
FENCED = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
DIGEST = "sha256:" + "5a" * 32
# For the longest, a load test over the real model, where all cores are busy; on an idle machine it takes a tenth.
RUN_SECONDS = 140
# For the stand-in with its real model, which computes slowly where all cores are busy.
START_SECONDS = 120.0
GCLOUD = '#!/bin/sh\necho "$*" >>"$GCLOUD_LOG"\necho token\n'
# `docker inspect` gets the format and the image, and prints the image by digest.
DOCKER = f'#!/bin/sh\necho "$*" >>"$DOCKER_LOG"\n[ "$1" != inspect ] || echo "${{4%:*}}@{DIGEST}"\n'


@dataclass(frozen=True)
class Block:
    """A fenced block of shell commands."""

    page: str
    text: str

    def __str__(self) -> str:
        lines = (line for line in self.text.splitlines() if line and not line.startswith(("#", "export")))
        return f"{self.page}: {next(lines)[:50]}"


def blocks() -> list[Block]:
    """Return all of the documentation's."""
    texts = {page: (ROOT / page).read_text("utf-8") for page in PAGES}
    return [Block(page, block) for page, text in texts.items() for block in FENCED.findall(text)]


@dataclass
class Shell:
    """A copy of the repository's YAML in which commands are run, with the operators' tools on PATH."""

    folder: Path
    environ: dict[str, str]

    def run(self, script: str, *replaced: tuple[str, str], seconds: float = RUN_SECONDS) -> str:
        """Run a script to its end, whatever it started with it; return its output. AssertionError unless it exits 0."""
        for old, new in replaced:
            assert old in script, f"{old!r} is not in:\n{script}"
            script = script.replace(old, new)
        command = ["bash", "-euo", "pipefail", "-c", script]
        output = self.folder / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environ, stdout=file, stderr=file, start_new_session=True
            )
        try:
            status = process.wait(seconds)
        finally:
            with contextlib.suppress(ProcessLookupError):  # what the script left in the background
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        text = output.read_text(errors="replace")
        assert status == 0, f"status {status} of:\n{script}\n{text}"
        return text

    def asked_of_gcloud(self) -> str:
        """Return the arguments of every call of `gcloud`, a line each."""
        return Path(self.environ["GCLOUD_LOG"]).read_text()


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a copy of what the commands read; its home is empty."""
    for name in ("service.yaml", "cloudbuild.yaml", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, script in (("gcloud", GCLOUD), ("docker", DOCKER)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    logs = {"GCLOUD_LOG": str(tmp_path / "gcloud.log"), "DOCKER_LOG": str(tmp_path / "docker.log")}
    own = {"PATH": path, **logs, "PROJECT_ID": "my-project", "REGION": "us-central1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OLLAMA_", "PROBE_AGENT_"))}
    return Shell(tmp_path, {**kept, **own})


def make(block: Block, shell: Shell) -> None:
    """Each target is in `make help`; what it would do is known."""
    targets = re.findall(r"make ([a-z-]+)", block.text)
    listed = shell.run("make help")
    for target in targets:
        assert re.search(rf"^{target} ", listed, re.MULTILINE), target
        shell.run(f"make --directory {ROOT} --dry-run {target}")


def check(block: Block, shell: Shell) -> None:
    """Both ways of asking the agent say READY."""
    with service(shell) as (_, agent):
        shell.environ["PROBE_AGENT_PORT"] = str(agent)
        said = shell.run(block.text, ("localhost:9090", f"127.0.0.1:{agent}"))
    assert "200 OK" in said
    assert said.count("READY") == 2


@contextlib.contextmanager
def service(shell: Shell) -> Iterator[tuple[int, int]]:
    """Run `make run`'s command over the stand-in; gives the ports of the ingress and of the agent."""
    log, port = shell.folder / "up.log", free_port()
    with log.open("wb") as file:
        command = ["ops", "up", "--standin", "--free-ports", f"--port={port}", "--no-logs"]
        process = subprocess.Popen(command, cwd=shell.folder, env=shell.environ, stdout=file, stderr=file)
    try:
        wait_until(lambda: process.poll() is not None or "cold start" in log.read_text(), START_SECONDS, "the service")
        found = re.search(r"curl http://127\.0\.0\.1:(\d+)/healthz", log.read_text())
        assert found, log.read_text()
        yield port, int(found[1])
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def unpacked(block: Block, shell: Shell) -> None:
    """The script is the one that tests/image runs with a real Ollama, and `ops up` takes its folder."""
    script = re.search(r"\S+/unpacked\.sh", block.text)
    assert script
    shell.run(f"bash -n {ROOT / script[0]}")
    assert "unpacked.sh" in (ROOT / "tests/image/test_up_image.py").read_text()
    assert "--image-root" in shell.run("ops up --help")


def plan(block: Block, shell: Shell) -> None:
    """The plan is printed, and its settings are in the service."""
    said = shell.run(block.text, ("gemma3:4b-it-qat", str(gguf_path())))
    assert "containerConcurrency" in said
    assert "containerConcurrency: 8" in (shell.folder / "service.yaml").read_text()


# A busy machine must find a choice too.
LIMITS = [("ttft_p95=2s", "ttft_p95=60s"), ("e2e_p95=20s", "e2e_p95=60s")]


def loadtest_here(block: Block, shell: Shell) -> None:
    """The sweep ends in a choice and a report."""
    quick = "--duration 3s --warmup 0s --repetitions 1 --answer-tokens 4 --prompt-tokens 8 --out here "
    slots = ("--parallel 1,2,4,8 --concurrency 1,2,4,8,16 ", "--parallel 1 --concurrency 1,2 --up-options=--standin ")
    said = shell.run(block.text.replace("run --up", f"run {quick}--up"), slots, LIMITS[0])
    assert "containerConcurrency" in said
    assert (shell.folder / "here" / "report.html").is_file()


def loadtest_there(block: Block, shell: Shell) -> None:
    """The same against a service by its address, with a token that a command prints."""
    quick = "--duration 1s --warmup 0s --repetitions 1 --answer-tokens 4 --prompt-tokens 8 --out there "
    with service(shell) as (ingress, _):
        url = ("https://NAME-PROJECT.REGION.run.app", f"http://127.0.0.1:{ingress}")
        said = shell.run(block.text.replace("loadtest run", f"loadtest run {quick}"), url, ("0.5,1,2,4", "2"), *LIMITS)
    assert "containerConcurrency" in said
    assert "auth print-identity-token" in shell.asked_of_gcloud()


def mount(block: Block, shell: Shell) -> None:
    """What lies in the folder is what is served."""
    store = bundled_store(shell)
    line = "--model gemma3:4b-it-qat"
    quick = "--model smollm2 --once --port 0 --free-ports"
    said = shell.run(block.text, ('"$HOME/.ollama/models"', str(store)), (line, quick), ("$PWD/.venv/bin:", ""))
    assert "Paris" in said


def bundled_store(shell: Shell) -> Path:
    """Let `ops up` make the bundled model's store with a real Ollama; skipped where there is none."""
    if REAL_OLLAMA is None:
        pytest.skip("needs a real Ollama, whose store is what is read")
    shell.environ["OLLAMA_BIN"] = REAL_OLLAMA
    shell.run("ops up --once --port 0 --free-ports")
    cache = Path(shell.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "probe-agent"
    return next(path for path in cache.glob("ollama-smollm2-*/") if path.is_dir())


def cloud(block: Block, shell: Shell) -> None:
    """What is made in the cloud has the names that deploy/ uses."""
    shell.run(block.text)
    asked = shell.asked_of_gcloud()
    services = "".join(path.read_text() for path in ROOT.glob("deploy/service.*.yaml"))
    for account in re.findall(r"serviceAccountName: (\S+)@", services):
        assert f"iam service-accounts create {account}" in asked
    for network, subnet in re.findall(r'"network":"(\w+)","subnetwork":"(\w+)"', services):
        assert f"networks create {network} " in asked
        assert f"subnets create {subnet} " in asked
    assert "storage buckets create gs://my-project-ollama-models" in asked


def fill_bucket(block: Block, shell: Shell) -> None:
    """Blobs go into the bucket of deploy/ before the manifests that name them."""
    shell.run(block.text)
    bucket = "gs://my-project-ollama-models"
    targets = [line.split()[-1] for line in shell.asked_of_gcloud().splitlines()]
    assert targets == [f"{bucket}/blobs", f"{bucket}/manifests"]
    assert bucket.replace("my-project", "project-id") in (shell.folder / "deploy/service.gcs.yaml").read_text()


def deploy(block: Block, shell: Shell) -> None:
    """Both images are built, pushed and pinned by digest, and the file that is deployed has no findings."""
    shell.run(block.text, ("$PWD/.venv/bin:", ""))
    built = [line for line in Path(shell.environ["DOCKER_LOG"]).read_text().splitlines() if line.startswith("build ")]
    assert all((ROOT / dockerfile).is_file() for line in built for dockerfile in re.findall(r"-f (\S+)", line))
    assert shell.asked_of_gcloud().splitlines() == ["run services replace pinned.yaml --region=us-central1"]
    assert (shell.folder / "pinned.yaml").read_text().count(DIGEST) == len(built) == 2


def cloud_build(block: Block, shell: Shell) -> None:
    """The substitutions that are given are ones that cloudbuild.yaml has."""
    shell.run(block.text)
    known = (ROOT / "cloudbuild.yaml").read_text()
    given = re.findall(r"\b(_[A-Z]+)=", shell.asked_of_gcloud())
    assert given
    assert not [name for name in given if f"  {name}: " not in known]


def pinned(block: Block, shell: Shell) -> None:
    """For each source the file that is filled in and pinned has no findings, and is what is deployed."""
    for source in ("mount", "gcs", "pull"):
        shell.run(block.text, ("SOURCE", source), ("sha256:…", DIGEST), ("REF", "docker.io/someone/probe-agent"))
        assert shell.asked_of_gcloud().splitlines()[-1] == "run services replace pinned.yaml --region=us-central1"


def lint(block: Block, shell: Shell) -> None:
    """Our own files have no findings."""
    said = shell.run(block.text)
    assert "no findings" in said
    assert json.loads(said[said.index("[") :]) == []


# What to do with a block, by the text that it holds.
RULES: dict[str, Callable[[Block, Shell], None]] = {
    "curl -i localhost:9090/health": check,
    "unpacked.sh": unpacked,
    "ops plan": plan,
    "ops loadtest run --up": loadtest_here,
    "ops loadtest run https": loadtest_there,
    "ops up deploy/service.mount.yaml": mount,
    "docker build": deploy,
    "gcloud builds submit": cloud_build,
    "gcloud compute networks": cloud,
    "gcloud storage rsync": fill_bucket,
    "ops pin": pinned,
    "ops lint service.yaml": lint,
    "make ": make,
}
# Those that run the model take minutes.
LONG = {check, unpacked, plan, loadtest_here, loadtest_there, mount}


def blocks_with_rules() -> list[ParameterSet]:
    """Return each block of the pages that a rule fits, with its rule."""
    pairs = ((block, next((rule for words, rule in RULES.items() if words in block.text), None)) for block in blocks())
    return [
        pytest.param(rule, block, id=str(block), marks=pytest.mark.nightly if rule in LONG else [])
        for block, rule in pairs
        if rule
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("rule", "block"), blocks_with_rules())
def test_a_block_of_commands_works(rule: Callable[[Block, Shell], None], block: Block, shell: Shell) -> None:
    """The commands do what their page says."""
    rule(block, shell)
