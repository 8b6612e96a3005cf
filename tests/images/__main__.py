"""Build the agent's image without an engine and run it: `python -m tests.images`. Exit 1 on any defect."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "probe-agent")
MOST_BYTES = 70 * 2**20
PROGRAM = "/opt/probe-agent/bin/probe-agent"


def run(*command: str, seconds: float = 600) -> subprocess.CompletedProcess[bytes]:
    """Run a command; the time-out is for a slow mirror or index. Its output is kept."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=seconds, check=False)


def need(*command: str) -> bytes:
    """Return what the command printed; SystemExit with its last words when it failed."""
    done = run(*command)
    if done.returncode:
        sys.exit(f"FAILED: {' '.join(command)}\n{done.stderr.decode()[-2000:]}")
    return done.stdout


def base() -> Path:
    """Return a Debian with Python as a tar file, made once."""
    tar = CACHE / "bookworm-python.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            need(
                "debootstrap", "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "bookworm", folder
            )
            shutil.copy("/etc/ssl/certs/ca-certificates.crt", f"{folder}/etc/ssl/certs/ca-certificates.crt")
            need("tar", "-C", folder, "-cf", f"{tar}.part", ".")
        Path(f"{tar}.part").rename(tar)
    return tar


def main() -> int:
    """Build, run, measure; 0 when all is right."""
    if not all(map(shutil.which, ("buildah", "debootstrap"))):
        print("SKIPPED: buildah and debootstrap are not installed; `apt-get install buildah debootstrap` does it")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        store = ("buildah", "--root", f"{folder}/s", "--runroot", f"{folder}/r", "--storage-driver", "vfs")
        scratch = need(*store, "from", "scratch").decode().strip()
        need(*store, "add", "-q", scratch, str(base()), "/")
        need(*store, "commit", "-q", scratch, "localhost/base")
        secret = ("--secret", "id=pip-conf,src=/etc/pip.conf") if Path("/etc/pip.conf").exists() else ()
        arguments = ("--isolation", "chroot", "--pull-never", *secret, "--build-arg", "PYTHON_IMAGE=localhost/base")
        need(*store, "bud", *arguments, "-f", "probe-agent/Dockerfile", "-t", "localhost/agent", ".")
        container = need(*store, "from", "--pull-never", "localhost/agent").decode().strip()
        inside = (*store, "run", "--isolation", "chroot", container, "--")
        need(*inside, PROGRAM, "--help")
        status = run(*inside, PROGRAM, "check", "--port", "1").returncode
        user = need(*inside, "/usr/bin/id", "-u").decode().strip()
        mounted = need(*store, "mount", container).decode().strip()
        size = len(gzip.compress(need("tar", "-C", mounted, "-cf", "-", "opt/probe-agent"), 6))
    print(f"check without an agent: exit {status}; user {user}; {size / 2**20:.1f} MiB compressed above the base")
    right = (status, user) == (2, "65532") and size <= MOST_BYTES
    print("agent's image: passed" if right else "agent's image: FAILED (want exit 2, user 65532, at most 70 MiB)")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
