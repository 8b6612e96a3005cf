"""Models from a registry: pulled by the build's step, and by the agent's source, with a real Ollama either way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from lab.agent import Agent
from lab.images.tree import FLAGS, bake
from lab.registry import Registry
from lab.servers import RealOllama
from lab.stores import flip_a_bit
from probe_agent.endpoints.status import status
from probe_agent.ollama.blobs import check_blob
from probe_agent.ollama.store import StoreManifest, manifest_path, read_manifest
from probe_agent.prompt_cache.image_manifest import ImageManifest
from tests.image.conftest import Baked


@pytest.fixture
def pulling(ollama: Path, certificate: Path, tmp_path: Path) -> Iterator[RealOllama]:
    """An Ollama with an empty store."""
    with RealOllama(tmp_path, str(ollama), {**FLAGS, "SSL_CERT_FILE": str(certificate)}) as server:
        yield server


def served_by(registry: Registry) -> str:
    """Return the whole name of the registry's model."""
    return f"{registry.host}/library/served:one"


def pull(out: Path, model: str, baked: Baked, certificate: Path) -> CompletedProcess[str]:
    """Run the build's step without a file to import."""
    environ = {"MODEL": model, "SOURCE": "", "SSL_CERT_FILE": str(certificate), "PROMPT_CACHE": "0"}
    return bake(out, baked.ollama, baked.ollama, environ)


def manifest_of(store: Path, model: str) -> StoreManifest:
    """Read a model's manifest."""
    return read_manifest(model, (store / manifest_path(model)).read_bytes())


def test_a_pulled_model_is_laid_out_under_its_name(
    baked: Baked, registry: Registry, certificate: Path, tmp_path: Path
) -> None:
    """Its weights are the registry's, and its manifest tells its whole name."""
    model = served_by(registry)
    done = pull(tmp_path / "out", model, baked, certificate)
    assert done.returncode == 0, done.stderr
    rest = tmp_path / "out" / "rest" / "models"
    image, laid_out = ImageManifest.read((rest / "manifest.json").read_text()), manifest_of(rest, model)
    assert (image.model, image.digest) == (model, laid_out.digest)
    assert laid_out.weights == manifest_of(baked.models, "served:one").weights
    for blob in laid_out.blobs:
        check_blob(tmp_path / "out" / ("model" if blob == laid_out.weights else "rest") / "models" / blob.path, blob)


@pytest.mark.parametrize(
    ("case", "why"), [("absent", "pull model manifest: file does not exist"), ("down", "connection refused")]
)
def test_a_pull_that_fails_ends_the_build_in_one_line(
    baked: Baked, registry: Registry, certificate: Path, tmp_path: Path, case: str, why: str
) -> None:
    """The last line says which model, why, and what to do; nothing is laid out."""
    model = f"{registry.host}/library/absent:one"
    if case == "down":
        registry.stop()
    done = pull(tmp_path / "out", model, baked, certificate)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert line.startswith(f"bake: ollama: pull {model}: ")
    assert why in line
    assert line.endswith("; check MODEL, the registry and the way to it, and try again; or import the model by SOURCE")
    assert "GIN-debug" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_flipped_bit_on_the_way_is_named(baked: Baked, certificate: Path, tmp_path: Path) -> None:
    """What is not what its name says does not get into the image."""
    store = tmp_path / "store"
    shutil.copytree(baked.models, store)
    weights = manifest_of(store, "served:one").weights
    assert weights is not None
    (store / weights.path).chmod(0o644)
    flip_a_bit(store / weights.path)
    registry = Registry(store, certificate)
    with registry:
        done = pull(tmp_path / "out", served_by(registry), baked, certificate)
    assert done.returncode == 1
    assert (
        f"digest mismatch, file must be downloaded again: want sha256:{weights.sha256}" in done.stderr.splitlines()[-1]
    )


def pulling_agent(server: RealOllama, registry: Registry, **environ: str) -> Agent:
    """Make an agent whose model is to be pulled; with patience for a load beside other tests."""
    patience = {"PERIOD_SECONDS": "1", "TIMEOUT_SECONDS": "1", "FAILURE_THRESHOLD": "20"}
    model = {"MODEL": f"{served_by(registry)}@2048", "MODEL_SOURCE": "pull"}
    return Agent(server.url, **model, OLLAMA_NUM_PARALLEL="2", **patience, **environ)


def told(agent: Agent) -> dict[str, Any]:
    """Return what the status says of the source."""
    source: dict[str, Any] = status(agent.controller.view())["source"]
    return source


@pytest.mark.anyio
async def test_the_agent_pulls_and_becomes_ready(baked: Baked, pulling: RealOllama, registry: Registry) -> None:
    """The status tells how far the pull is, and the digest is the one that was expected."""
    model = manifest_of(baked.models, "served:one")
    assert model.weights is not None
    async with pulling_agent(pulling, registry, MODEL_DIGEST=model.digest) as agent:
        await agent.until_true(lambda: told(agent)["done_bytes"] > 0, lambda: "progress")
        assert agent.state == "FETCHING"
        assert (told(agent)["source"], told(agent)["total_bytes"]) == ("pull", model.weights.size_bytes)
        await agent.until("READY")


@pytest.mark.anyio
async def test_the_agent_waits_for_a_registry_that_is_down(pulling: RealOllama, registry: Registry) -> None:
    """FETCHING says why, and the start goes on once the registry is up."""
    registry.stop()
    async with pulling_agent(pulling, registry) as agent:
        await agent.until("FETCHING", "connection refused")
        assert served_by(registry) in agent.reason
        registry.start()
        await agent.until("READY")


@pytest.mark.anyio
async def test_a_pull_that_is_cut_goes_on(pulling: RealOllama, registry: Registry) -> None:
    """A registry that restarts in the middle of a blob costs a wait, not the start."""
    async with pulling_agent(pulling, registry) as agent:
        await agent.until_true(lambda: told(agent)["done_bytes"] > 0, lambda: "progress")
        registry.stop()
        assert agent.state == "FETCHING"
        registry.start()
        await agent.until("READY")


@pytest.mark.anyio
async def test_what_an_earlier_pull_left_is_checked(
    baked: Baked, pulling: RealOllama, registry: Registry, tmp_path: Path
) -> None:
    """Ollama takes a blob that is there for whole; the agent, which sees the store, does not, and names it."""
    weights = manifest_of(baked.models, "served:one").weights
    assert weights is not None
    left = tmp_path / "models" / weights.path
    left.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(baked.models / weights.path, left)
    flip_a_bit(left)
    async with pulling_agent(pulling, registry, MODEL_STORE=str(tmp_path / "models")) as agent:
        await agent.until("FAILED", f"source pull: blob {weights.file_name} has the content of")
        assert not agent.controller.readiness.startup_passed


@pytest.mark.anyio
async def test_another_model_under_the_name_is_failed(pulling: RealOllama, registry: Registry) -> None:
    """A digest that is not the expected one is reported, and nothing is loaded."""
    async with pulling_agent(pulling, registry, MODEL_DIGEST="ab" * 32) as agent:
        await agent.until("FAILED", "has digest")
        assert not agent.controller.readiness.startup_passed
