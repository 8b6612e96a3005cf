"""The container's start and stop over the baked store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import httpx
import pytest

from lab.image_tree import ASKED, IMAGE, Entrypoint, tree
from lab.servers import NO_TLS, wait_until
from lab.stores import damage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lab.registry import Registry
    from tests.image.conftest import Baked


FAULTS = pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("missing", "missing, expected"),
        ("truncated", "bytes, expected"),
        ("flipped", "its content is not what its name says"),
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
    """A missing or short blob is told before the server starts; with VERIFY=1, one flipped bit is, too."""
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
    assert "build it anew" in done.stderr


@FAULTS
def test_a_damaged_prompt_cache_is_left_out(baked: Baked, tmp_path: Path, fault: str, found: str) -> None:
    """It is told by its name, and the server is started all the same: here the missing one."""
    models = tmp_path / "models"
    shutil.copytree(baked.models, models)
    (models / "prompt-cache").chmod(0o755)
    (file,) = (models / "prompt-cache").iterdir()
    file.chmod(0o644)
    damage(file, fault)
    done = start(models, VERIFY="1")
    assert f"prompt-cache/{file.name}: " in done.stderr
    assert found in done.stderr
    assert "going on without the prompt cache" in done.stderr
    assert "/nonexistent" in done.stderr


def test_a_runtime_folder_that_is_absent_is_told(baked: Baked, tmp_path: Path) -> None:
    """What is off without it is said in one line, and what to do."""
    absent = tmp_path / "absent"
    assert (
        f"entrypoint: {absent}: not writable: no prompt cache, and requests are cut at a stop; mount a volume there\n"
        in start(baked.models, RUNTIME_DIR=str(absent)).stderr
    )


def test_a_whole_store_passes_the_check(baked: Baked) -> None:
    """With VERIFY=1 and nothing damaged, what ends the container is only the missing server."""
    done = start(baked.models, VERIFY="1")
    assert "damaged" not in done.stderr
    assert "/nonexistent" in done.stderr


def start(models: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint over a store, without a server that it could start."""
    return subprocess.run(
        ["bash", IMAGE / "entrypoint.sh"],
        env={**os.environ, "OLLAMA_MODELS": str(models), "OLLAMA_BINARY": "/nonexistent", **environ},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_stream_in_flight_ends_whole(baked: Baked, home: Path, ending: signal.Signals) -> None:
    """After the signal the running answer goes on to its done line; then the container ends with status 0."""
    with Entrypoint(home, baked.models, baked.ollama, {"DRAIN_SECONDS": "25"}) as container:
        container.load()
        lines: list[str] = []
        fields = {"model": "served:one", "prompt": "Count from one on.", "options": {"num_predict": 150}}

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
