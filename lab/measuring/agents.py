"""The agent under measurement, as its container starts it."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.measuring.agent_python import agent_python
from lab.measuring.servers import MODEL, NUM_CTX
from lab.process import LOOPBACK, Running

KIB_PER_MIB = 1024
# For /status, which is answered from memory.
STATUS_SECONDS = 2.0


def agent(port: int, ollama_port: int, environ: Mapping[str, str] | None = None) -> Running:
    """Return an agent for the small model on `ollama_port`, with the defaults but for its addresses."""
    settings = {
        "PROBE_AGENT_MODEL": f"{MODEL}@{NUM_CTX}",
        "PROBE_AGENT_HOST": LOOPBACK,
        "PROBE_AGENT_PORT": str(port),
        "PROBE_AGENT_OLLAMA_URL": f"http://{LOOPBACK}:{ollama_port}",
    }
    return Running((agent_python(), "-m", "probe_agent"), {**settings, **(environ or {})})


def rss_mib(pid: int) -> float:
    """Return a process's resident memory, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / KIB_PER_MIB


def cpu_seconds(pid: int) -> float:
    """Return a process's user and system time, in seconds."""
    # The fields after the command, which stands in brackets and may hold blanks: state is the 3rd, utime the 14th.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def state(port: int) -> str:
    """Ask an agent for its state."""
    return str(status(port)["state"])


def ready(port: int) -> bool | None:
    """Return True once an agent is READY, None before, also while it does not listen yet: for `Running.until`."""
    try:
        return state(port) == "READY" or None
    except OSError:
        return None


def status(port: int) -> dict[str, Any]:
    """Ask an agent for its /status."""
    url = f"http://{LOOPBACK}:{port}/status"
    with urllib.request.urlopen(url, timeout=STATUS_SECONDS) as response:
        found: dict[str, Any] = json.load(response)
    return found
