"""The build's prompt cache, end to end: baked, served by the entrypoint, restored by a real agent, met by a client.

A warm-up without the cache ends in slots that are just as full, so neither READY nor the client's first chat can tell
the two apart. The runner's own log can: it says of each request how many tokens of the prompt it had to compute.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.agent import AgentProcess
from lab.images.tree import ASKED, FLAGS, Entrypoint
from lab.servers import wait_until
from lab.stores import damage
from probe_agent.prompt_cache.image_manifest import ImageManifest
from tests.image.conftest import Baked

# A line of the runner for each request that it has answered: the tokens that no cache had.
COMPUTED = re.compile(r"prompt eval time = .* ms / +(\d+) tokens")
SLOTS = int(FLAGS["OLLAMA_NUM_PARALLEL"])
# Where the prompt is computed after all, on a busy machine; one second where it is restored.
READY_SECONDS = 240.0


@pytest.fixture
def home(folder: Path) -> Iterator[Path]:
    """A writable home that another user may enter."""
    path = folder / "home-prompt-cache"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def agent_of(container: Entrypoint, slots: int) -> AgentProcess:
    """Return an agent that shares the container's runtime directory."""
    return AgentProcess(
        container.url,
        MODEL="served:one@2048",
        RUNTIME_DIR=str(container.runtime),
        STARTUP_TIMEOUT_SECONDS=str(READY_SECONDS),
        OLLAMA_NUM_PARALLEL=str(slots),
    )


def computed(container: Entrypoint, requests: int) -> list[int]:
    """Return the prompt tokens that the runner computed for each of so many requests, in their order."""
    wait_until(lambda: len(COMPUTED.findall(container.log.read_text())) >= requests, 10, f"{requests} answers logged")
    return [int(tokens) for tokens in COMPUTED.findall(container.log.read_text())]


def test_the_agent_restores_the_builds_prompt_cache(baked: Baked, home: Path) -> None:
    """Every slot is filled before the warm-up, which then computes one token a slot; so does the first chat."""
    (cache,) = ImageManifest.read((baked.models / "manifest.json").read_text()).prompt_cache
    with Entrypoint(home, baked.models, baked.ollama) as container, agent_of(container, SLOTS) as agent:
        agent.until("READY", READY_SECONDS)
        status = agent.get("/status").json()
        proof, *warm_up = computed(container, 1 + SLOTS)
        first = container.chat(ASKED)
        *_, of_the_chat = computed(container, 2 + SLOTS)
        assert f"prompt cache of the build restored into {SLOTS} of {SLOTS} slots" in agent.log
    assert status["prompt_cache"] == {"restored_slots": SLOTS}
    assert proof < cache.tokens, "the proof's own short prompt"
    assert warm_up == [1] * SLOTS, "a restored prompt has all tokens but the last, which is always computed"
    assert (first["prompt_eval_count"], of_the_chat) == (cache.tokens, 1)


def test_a_damaged_cache_is_done_without(baked: Baked, home: Path) -> None:
    """The entrypoint leaves a cut file out, the runner then refuses to restore, and the warm-up computes the prompt."""
    models = home / "models"
    shutil.copytree(baked.models, models)
    (file,) = (models / "prompt-cache").iterdir()
    file.chmod(0o644)
    damage(file, "truncated")
    with Entrypoint(home, models, baked.ollama) as container, agent_of(container, 1) as agent:
        agent.until("READY", READY_SECONDS)
        assert agent.get("/status").json()["prompt_cache"] == {"restored_slots": 0}
        assert f"prompt-cache/{file.name}: has " in container.log.read_text()
        assert "prompt cache not used, the warm-up does without: the runner refused with 501" in agent.log


def test_a_runner_with_other_flags_computes_the_prompt(baked: Baked, home: Path) -> None:
    """A cache of other flags is left alone: the agent says which, and the warm-up computes the build's prompt."""
    (cache,) = ImageManifest.read((baked.models / "manifest.json").read_text()).prompt_cache
    with (
        Entrypoint(home, baked.models, baked.ollama, {"LLAMA_ARG_SWA_FULL": "0"}) as container,
        agent_of(container, 1) as agent,
    ):
        agent.until("READY", READY_SECONDS)
        assert agent.get("/status").json()["prompt_cache"] == {"restored_slots": 0}
        assert "the runner's flags are not the build's: LLAMA_ARG_SWA_FULL 1 at build, 0 now" in agent.log
        _, warm_up = computed(container, 2)
    assert warm_up > cache.tokens - 10, "all but the few that any two prompts begin with"
