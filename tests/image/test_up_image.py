"""`ops up --image-root`: the service as it is deployed, on one machine, with the image's own prompt cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.images.tree import ASKED, IMAGE, ROOT
from lab.servers import REAL_OLLAMA
from ops.up.command import run
from ops.up.errors import LaunchError
from ops.up.manifest import read_service
from ops.up.options import Options
from ops.up.plan import make_plan

SERVICE = ROOT / "service.yaml"
# For a bake or a run on a busy machine; six and three seconds on an idle one.
SECONDS = 50.0


def unpack(folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Make an image's root folder without an engine."""
    variables = {**os.environ, "PYTHON": sys.executable, "OLLAMA_BIN": str(REAL_OLLAMA), **environ}
    command = ["bash", str(IMAGE / "unpacked.sh"), str(folder)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=SECONDS, check=False)


def plan(root: Path, model: str | None = None) -> None:
    """Plan the service with an unpacked image."""
    make_plan(read_service(SERVICE), Options(file=SERVICE, free_ports=True, image_root=root, model=model), os.environ)


@pytest.fixture(scope="module")
def unpacked(folder: Path, ollama: Path, gguf: Path) -> Path:
    """The image of the small model, baked with the Dockerfile's defaults, which are service.yaml's numbers."""
    (warmup := folder / "long.jsonl").write_text(json.dumps({"messages": ASKED}) + "\n")
    done = unpack(
        folder / "unpacked", MODEL="small:one", SOURCE=gguf.name, IMPORT_DIR=str(gguf.parent), WARMUP=str(warmup)
    )
    assert done.returncode == 0, done.stderr
    return folder / "unpacked"


def test_the_deployed_service_starts_with_the_images_prompt_cache(
    unpacked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The file as it is: entrypoint and agent share its emptyDir here, and all its slots are restored before READY."""
    options = Options(
        file=SERVICE,
        port=0,
        free_ports=True,
        once=True,
        logs=True,
        image_root=unpacked,
        report=tmp_path / "report.json",
        timeout_seconds=SECONDS,
    )
    status = run(options)
    shown = capfd.readouterr().out
    assert status == 0, shown
    assert "prompt cache of the build restored into 4 of 4 slots" in shown
    assert "prompt cache not used" not in shown
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["model"] == "small:one"
    assert [request["status"] for request in report["requests"]] == [200, 200]
    assert report["early_requests"] == 0


def test_a_model_that_the_image_has_not_is_refused(unpacked: Path) -> None:
    """The image serves what was baked into it, and nothing else."""
    plan(unpacked, "small:one@4096")
    with pytest.raises(LaunchError, match=r"--model other: the image at .* holds small:one alone; leave --model out"):
        plan(unpacked, "other")


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        ("usr/local/bin/entrypoint.sh", "has no usr/local/bin/entrypoint.sh; give the root folder of an unpacked"),
        ("usr/bin/ollama", "has no usr/bin/ollama; give the root folder of an unpacked"),
        ("models/manifest.json", r"No such file .*manifest\.json'; give the root folder of an unpacked"),
    ],
)
def test_a_folder_that_is_no_image_is_explained(tmp_path: Path, missing: str, complaint: str) -> None:
    """What lacks a part of the image is reported with that part, before anything starts."""
    for part in {"usr/local/bin/entrypoint.sh", "usr/bin/ollama", "models/manifest.json"} - {missing}:
        (file := tmp_path / part).parent.mkdir(parents=True)
        file.touch()
    with pytest.raises(LaunchError, match=f"--image-root {tmp_path}: .*{complaint}"):
        plan(tmp_path)


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    """Nothing is unpacked over what is there already."""
    (kept := tmp_path / "kept").touch()
    done = unpack(tmp_path, OLLAMA_BIN=sys.executable)
    assert (done.returncode, done.stderr) == (1, f"unpacked.sh: {tmp_path}: not empty; name a new folder\n")
    assert list(tmp_path.iterdir()) == [kept]


def test_a_missing_ollama_is_told(tmp_path: Path) -> None:
    """Without an Ollama there is nothing to put the wrapper into."""
    done = unpack(tmp_path / "new", OLLAMA_BIN="/no/ollama")
    assert (done.returncode, done.stderr) == (1, "unpacked.sh: no ollama on PATH; set OLLAMA_BIN\n")
