"""The agent's image, built from its Dockerfile and run."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from lab.images import agent_image
from tests.images.conftest import Built

pytestmark = pytest.mark.timeout(900)
PROGRAM = "/opt/probe-agent/bin/probe-agent"


def test_it_runs_as_nobody(agent: Built) -> None:
    """The program starts, as a user who owns none of its files."""
    container = agent.container()

    assert agent.buildah.run(container, PROGRAM, "--version") == version("probe-agent")
    assert agent.buildah.run(container, "/usr/bin/id", "-u") == "65532"
    assert agent.buildah.run(container, "/usr/bin/find", "/opt/probe-agent", "-not", "-user", "root") == ""


def test_its_health_check_tells_when_no_agent_runs(agent: Built) -> None:
    """`probe-agent check` in a container without an agent exits with 2, which the engine takes for unhealthy."""
    container = agent.container()

    assert agent.buildah.status(container, PROGRAM, "check", "--port", "1") == 2


def test_it_is_small(agent: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The layers above the base stay below 70 MiB, compressed."""
    size = agent_image.bytes_above_base(agent.buildah, agent.name, tmp_path / "oci")
    with capsys.disabled():
        sys.stdout.write(f"\nthe agent's image: {size / 2**20:.1f} MiB compressed above its base\n")

    assert 0 < size <= agent_image.MOST_BYTES
