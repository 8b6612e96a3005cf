"""Images without an engine: Debian's buildah as root, each step in a chroot."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

# For one build: a slow package index or mirror. Both took less than a minute where they were tried.
BUILD_SECONDS = 600.0
# Twice what Cloud Run gives a container to end in.
STOP_SECONDS = 20.0


class BuildahError(AssertionError):
    """A command of buildah failed; the message has its last words."""


@dataclass(frozen=True)
class Buildah:
    """A storage of images in `folder`. `driver` is overlay where the kernel lets us mount it, else vfs."""

    folder: Path
    driver: str

    @classmethod
    def in_folder(cls, folder: Path) -> Buildah:
        """Open a storage with the faster driver that works here."""
        fast = cls(folder, "overlay")
        try:
            fast("rm", fast("from", "scratch"))
        except BuildahError:
            return cls(folder / "plain", "vfs")
        return fast

    def __call__(self, *arguments: object) -> str:
        """Run a command of buildah's; returns what it printed."""
        done = self._done(*arguments)
        if done.returncode:
            words = f"{done.stdout}\n{done.stderr}"[-3000:]
            raise BuildahError(f"buildah {' '.join(map(str, arguments))}: exit {done.returncode}\n{words}")
        return done.stdout.strip()

    def base(
        self,
        name: str,
        tar: Path,
        files: Mapping[str, Path] | None = None,
        command: str = "",
        volume: tuple[Path, str] | None = None,
    ) -> str:
        """Make an image of a root file system, of files or folders put into it, and of what a command does there."""
        container = self("from", "scratch")
        self("add", "-q", container, tar, "/")
        for place, source in (files or {}).items():
            self("copy", "-q", container, source, place)
        if command:
            self("run", "--isolation", "chroot", *_mount(volume), container, "--", "/bin/sh", "-c", command)
        self("commit", "-q", container, f"localhost/{name}")
        self("rm", container)
        return f"localhost/{name}"

    def build(self, name: str, context: Path, dockerfile: str, arguments: Mapping[str, str], *options: object) -> str:
        """Build a Dockerfile, each instruction a layer as Docker makes them, none from a cache; returns its name."""
        builds = (part for item in arguments.items() for part in ("--build-arg", "=".join(item)))
        where = ("-f", context / dockerfile, "-t", f"localhost/{name}", context)
        self("bud", "--layers", "--no-cache", "--isolation", "chroot", "--pull-never", *builds, *options, *where)
        return f"localhost/{name}"

    def container(self, image: str) -> str:
        """Make a container of an image."""
        return self("from", "--pull-never", image)

    def run(self, container: str, *command: str, environ: Mapping[str, str] | None = None) -> str:
        """Run a command in a container, as its user and in its environment; returns what it printed."""
        return self("run", "--isolation", "chroot", *_variables(environ), container, "--", *command)

    def start(
        self, container: str, *command: str, environ: Mapping[str, str], volume: tuple[Path, str], log: Path
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Start a command in a container, with a folder of this machine mounted; stopped at the end of the block."""
        options = (*_variables(environ), *_mount(volume))
        return _Running(self._command("run", "--isolation", "chroot", *options, container, "--", *command), log)

    def status(self, container: str, *command: str, environ: Mapping[str, str] | None = None) -> int:
        """Run a command in a container; returns its exit status."""
        return self._done("run", "--isolation", "chroot", *_variables(environ), container, "--", *command).returncode

    def layers(self, image: str, folder: Path) -> list[Path]:
        """Push an image into `folder`; returns its layers from the base up, files named by their digests."""
        self("push", "-q", image, f"oci:{folder}")

        def blob(digest: str) -> Path:
            return folder / "blobs" / digest.replace(":", "/")

        index = json.loads((folder / "index.json").read_bytes())
        manifest = json.loads(blob(index["manifests"][0]["digest"]).read_bytes())
        return [blob(layer["digest"]) for layer in manifest["layers"]]

    def _done(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = self._command(*arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)

    def _command(self, *arguments: object) -> list[str]:
        roots = ("--root", self.folder / "storage", "--runroot", self.folder / "run", "--storage-driver", self.driver)
        return ["buildah", *map(str, roots), *map(str, arguments)]


class _Running:
    """A command in a container, told to stop as Cloud Run does it: SIGTERM to its first process."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._command = command
        self._log = log

    def __enter__(self) -> subprocess.Popen[bytes]:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        return self._process

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            os.kill(_first_process(self._process.pid), signal.SIGTERM)
            self._process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what did not stop by itself
        self._process.wait(STOP_SECONDS)


def _first_process(pid: int) -> int:
    """Return the first process below buildah's own, which are the same program under other names."""
    while "buildah" in Path(f"/proc/{pid}/exe").readlink().name:
        lists = Path(f"/proc/{pid}/task").glob("*/children")  # of each thread: Go starts processes from any
        (pid,) = (int(child) for each in lists for child in each.read_text(encoding="ascii").split())
    return pid


def _variables(environ: Mapping[str, str] | None) -> list[str]:
    return [part for item in (environ or {}).items() for part in ("--env", "=".join(item))]


def _mount(volume: tuple[Path, str] | None) -> list[str]:
    return ["--volume", f"{volume[0]}:{volume[1]}"] if volume else []
