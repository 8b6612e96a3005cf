"""The interpreter of the agent's image: with what the agent needs, and nothing that only tools and tests do.

Else httpx, finding `rich` and `click`, would import them for a command line that the agent does not have: a fifth of
its start, and 10 MiB (measured).
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from lab.measuring.precondition import NotHereError
from ops.local_store import alone, cache_directory

AGENT = Path(__file__).parents[2] / "probe-agent"
# For thirty-odd wheels from the package registry, on a slow network.
INSTALL_SECONDS = 600.0


@functools.cache
def agent_python() -> str:
    """Return its path, made at the first call and for other requirements; `NotHereError` where it cannot be."""
    requirements = AGENT / "requirements.txt"
    source = f"{sys.version}\n{AGENT}\n{requirements.read_text(encoding='utf-8')}"
    home = cache_directory(os.environ) / f"agent-{hashlib.sha256(source.encode()).hexdigest()[:12]}"
    python = home / "bin" / "python"
    whole = home / "whole"
    with alone(home):
        if not whole.exists():
            _run(sys.executable, "-m", "venv", str(home))
            _run(str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(requirements))
            site = _run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
            (Path(site.strip()) / "probe_agent.pth").write_text(f"{AGENT / 'src'}\n", encoding="utf-8")
            whole.touch()
    _run(str(python), "-m", "compileall", "-q", str(AGENT / "src"))
    return str(python)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    if done.returncode:
        raise NotHereError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")
    return done.stdout
