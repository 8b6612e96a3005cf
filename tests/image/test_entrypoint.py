"""The container's start and stop over the baked store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab.images.tree import ASKED, IMAGE, Entrypoint, tree
from lab.registry import Registry
from lab.servers import NO_TLS, wait_until
from lab.stores import damage
from tests.image.conftest import Baked

FAULTS = pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("missing", "missing, expected"),
        ("truncated", "bytes, expected"),
        ("flipped", "its SHA-256 differs from its name"),
    ],
)


@pytest.fixture
def home(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A writable home that another user may enter."""
    path = folder / f"home-{abs(hash(request.node.name))}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def test_the_baked_store_is_served_and_cannot_be_changed(
    baked: Baked, home: Path, registry: Registry, certificate: Path
) -> None:
    """Delete, create and pull fail, the store stays as it was, and the model goes on being served."""
    before = tree(baked.models)
    with Entrypoint(home, baked.models, baked.ollama, {"SSL_CERT_FILE": str(certificate)}) as container:
        container.load()
        assert (container.runtime / "manifest.json").read_text() == (baked.models / "manifest.json").read_text()
        gone = httpx.request("DELETE", f"{container.url}/api/delete", json={"model": "served:one"}, verify=NO_TLS)
        made = container.post("/api/create", {"model": "served:one", "from": "served:one", "system": "Obey."})
        # Of its own blobs, so that nothing has to be written but the manifest.
        pulled = container.post("/api/pull", {"model": f"{registry.host}/library/served:one"})
        assert gone.status_code >= 400
        assert '"error"' in made.text
        assert "writing manifest" in pulled.text
        assert "permission denied" in pulled.text.splitlines()[-1]
        assert tree(baked.models) == before
        assert container.chat(ASKED)["done"]
        assert container.terminate() == 0


@FAULTS
def test_a_damaged_blob_stops_the_container_with_its_name(baked: Baked, tmp_path: Path, fault: str, found: str) -> None:
    """A missing or short blob stops the container before the server starts; with VERIFY=1 a flipped bit does too."""
    models = tmp_path / "models"
    shutil.copytree(baked.models, models)
    (models / "blobs").chmod(0o755)
    blob = max((models / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o644)
    damage(blob, fault)
    done = start(models, VERIFY="1")
    assert done.returncode == 1
    assert f"blobs/{blob.name}: " in done.stderr
    assert found in done.stderr
    assert "build the image again" in done.stderr


@FAULTS
def test_a_damaged_prompt_cache_is_left_out(baked: Baked, tmp_path: Path, fault: str, found: str) -> None:
    """The log names the damaged file, and the server still starts."""
    models = tmp_path / "models"
    shutil.copytree(baked.models, models)
    (models / "prompt-cache").chmod(0o755)
    (file,) = (models / "prompt-cache").iterdir()
    file.chmod(0o644)
    damage(file, fault)
    done = start(models, VERIFY="1")
    assert f"prompt-cache/{file.name}: " in done.stderr
    assert found in done.stderr
    assert "starting without the prompt cache" in done.stderr
    assert "server started" in done.stdout


def test_a_missing_runtime_folder_is_reported(baked: Baked, tmp_path: Path) -> None:
    """One line says what does not work without it, and what to do."""
    absent = tmp_path / "absent"
    assert (
        f"entrypoint: {absent}: not writable: the prompt cache is not used, and SIGTERM cuts requests in flight; "
        "mount a volume there\n" in start(baked.models, RUNTIME_DIR=str(absent)).stderr
    )


def test_a_whole_store_passes_the_check(baked: Baked) -> None:
    """With VERIFY=1 and nothing damaged the server starts."""
    done = start(baked.models, VERIFY="1")
    assert "damaged" not in done.stderr
    assert "server started" in done.stdout


def start(models: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint over a store, with a server that says so and ends."""
    server = models.with_name("server.sh")
    server.write_text("#!/bin/sh\necho server started\n")
    server.chmod(0o755)
    return subprocess.run(
        ["bash", IMAGE / "entrypoint.sh"],
        env={**os.environ, "OLLAMA_MODELS": str(models), "OLLAMA_BINARY": str(server), **environ},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DRAIN_SECONDS", "abc", "expected whole seconds from 0 to 9999"),
        ("DRAIN_SECONDS", "2.5", "expected whole seconds from 0 to 9999"),
        ("DRAIN_SECONDS", "8s", "expected whole seconds from 0 to 9999"),
        ("DRAIN_SECONDS", "-1", "expected whole seconds from 0 to 9999"),
        ("VERIFY", "true", "expected 1 (hash every file before the start) or 0"),
        ("OLLAMA_BINARY", "/nonexistent", "no such program"),
    ],
)
def test_a_bad_setting_stops_the_container_at_the_start(tmp_path: Path, name: str, value: str, expected: str) -> None:
    """The line names the setting, its value and what is accepted; the server does not start."""
    done = start(tmp_path / "models", **{name: value})
    assert done.returncode == 1
    assert f"{name}={value}: {expected}" in done.stderr
    assert "server started" not in done.stdout


def test_all_bad_settings_are_reported_at_once(tmp_path: Path) -> None:
    """Two bad settings are two lines of one start."""
    lines = start(tmp_path / "models", DRAIN_SECONDS="8s", VERIFY="yes").stderr.splitlines()
    assert [line.split()[1].partition("=")[0] for line in lines] == ["DRAIN_SECONDS", "VERIFY"]


@pytest.mark.parametrize("seconds", ["0", "8", "08", "600"])
def test_whole_seconds_are_accepted(tmp_path: Path, seconds: str) -> None:
    """Whole seconds pass, also with a leading zero, which a shell could take for an octal number."""
    done = start(tmp_path / "models", DRAIN_SECONDS=seconds)
    assert "DRAIN_SECONDS" not in done.stderr
    assert "server started" in done.stdout


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_in_flight_ends_whole(baked: Baked, home: Path, ending: signal.Signals) -> None:
    """After the signal the running answer goes on to its done line; then the container ends with status 0."""
    with Entrypoint(home, baked.models, baked.ollama, {"DRAIN_SECONDS": "25"}) as container:
        container.load()
        lines: list[str] = []
        fields = {"model": "served:one", "prompt": "Count from one on.", "options": {"num_predict": 60}}

        def read() -> None:
            with httpx.stream(
                "POST", f"{container.url}/api/generate", json=fields, timeout=50, verify=NO_TLS
            ) as response:
                lines.extend(response.iter_lines())

        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: '"is_processing":true' in _slots(container), 20, "a busy slot")
        container.process.send_signal(ending)
        reader.join(30)
        assert json.loads(lines[-1])["done"]
        assert json.loads(lines[-1])["eval_count"] > 10
        assert container.process.wait(10) == 0
        assert "waiting up to 25 s" in container.log.read_text()


def test_the_wait_for_a_stream_is_bounded(baked: Baked, home: Path) -> None:
    """A stream longer than DRAIN_SECONDS is cut, and the container ends."""
    with Entrypoint(home, baked.models, baked.ollama, {"DRAIN_SECONDS": "1"}) as container:
        container.load()
        fields = {"model": "served:one", "prompt": "Count.", "options": {"num_predict": 5000, "temperature": 2}}
        with httpx.stream("POST", f"{container.url}/api/generate", json=fields, timeout=50, verify=NO_TLS) as response:
            next(response.iter_lines())
            assert container.terminate() == 0


def test_the_servers_own_end_ends_the_container(baked: Baked, home: Path) -> None:
    """A server that cannot start gives the container its status."""
    with pytest.raises(AssertionError, match="ended"), Entrypoint(home, baked.models, home / "absent"):
        pass


def _slots(container: Entrypoint) -> str:
    return httpx.get(f"{container.runner}/slots", timeout=5, verify=NO_TLS).text
