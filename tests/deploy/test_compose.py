"""compose.yaml: the same pair as service.yaml's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def services() -> dict[str, Any]:
    """Return the services of compose.yaml."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def test_environment_is_service_yamls() -> None:
    """Each container has the environment of service.yaml; only the device may be chosen."""
    service = yaml.safe_load((ROOT / "service.yaml").read_text())
    for container in service["spec"]["template"]["spec"]["containers"]:
        expected = {entry["name"]: entry["value"] for entry in container["env"]}
        if "PROBE_AGENT_DEVICE" in expected:
            expected["PROBE_AGENT_DEVICE"] = "${PROBE_AGENT_DEVICE:-any}"
        assert services()[container["name"]]["environment"] == expected


def test_pair_shares_network_and_runtime_directory() -> None:
    """The agent lives in Ollama's network namespace, and both mount one runtime directory."""
    assert services()["probe-agent"]["network_mode"] == "service:ollama"
    assert services()["ollama"]["ports"] == ["127.0.0.1:8080:11434"]
    assert {tuple(each["volumes"]) for each in services().values()} == {("runtime:/run/ollama",)}


def test_agent_checks_itself() -> None:
    """The health check is the agent's own, without a shell."""
    assert services()["probe-agent"]["healthcheck"]["test"] == ["CMD", "/opt/probe-agent/bin/probe-agent", "check"]
