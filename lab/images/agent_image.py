"""Where images are built on this machine, the agent's image there, and what it weighs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lab.images import bases
from lab.images.buildah import Buildah

NEEDS = "needs root, and Debian's packages buildah and debootstrap"
# Of the agent's image, compressed, above the base: the limit.
MOST_BYTES = 70 << 20
# For git to list this tree's files.
LIST_SECONDS = 30.0
# For a storage of several images, each with a whole Debian, on a slow disk.
REMOVE_SECONDS = 120.0


def can_build() -> bool:
    """Whether images can be built here; `NEEDS` says what that takes."""
    return not os.geteuid() and all(map(shutil.which, ("buildah", "debootstrap")))


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that another user may enter."""
    path = Path(tempfile.mkdtemp(prefix="image-builds-", dir="/var/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        subprocess.run(("rm", "-rf", path), timeout=REMOVE_SECONDS, check=True)


@contextlib.contextmanager
def storage(within: Path) -> Iterator[Buildah]:
    """Open a storage of images, emptied at the end: its mounts keep a folder from being removed."""
    buildah = Buildah.in_folder(within)
    try:
        yield buildah
    finally:
        buildah("rm", "--all")
        buildah("rmi", "--all", "--force")


def copy_tree(to: Path) -> None:
    """Copy this tree's files that git knows: what a build is sent."""
    listed = ("git", "-C", bases.ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listed, capture_output=True, text=True, timeout=LIST_SECONDS, check=True)
    for name in filter(None, done.stdout.split("\0")):
        if (bases.ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(bases.ROOT / name, to / name)


def build(buildah: Buildah, base: str, context: Path, within: Path) -> str:
    """Build the agent's image on a base image; returns its name."""
    secret = ("--secret", f"id=pip-conf,src={bases.pip_settings(within / 'pip.conf')}")
    return buildah.build("agent", context, "probe-agent/Dockerfile", {"PYTHON_IMAGE": base}, *secret)


def bytes_above_base(buildah: Buildah, image: str, within: Path) -> int:
    """Return what the layers above the base weigh, compressed; they are left in `within`."""
    _, *above = buildah.layers(image, within)
    return sum(layer.stat().st_size for layer in above)
