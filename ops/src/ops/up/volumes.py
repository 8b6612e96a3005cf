"""Volumes on this machine: an emptyDir is a new folder for one run; any other is the folder that --volume names."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ops.service.containers import Mount
from ops.service.model import Volume
from ops.service.problem import path_text
from ops.up.errors import LaunchError, ManifestError

EMPTY_DIR = "emptyDir"


@dataclass(frozen=True, slots=True)
class Folder:
    """What stands for a volume here; a new one is made for the run, and is removed with all that is in it."""

    path: Path
    is_new: bool


def folders(mounted: Iterable[Volume], given: Mapping[str, Path]) -> dict[str, Folder]:
    """Choose a folder for each volume, by its name: the operator's, else a new one, which `made` makes.

    Raises:
        ManifestError: a volume that is no emptyDir has no folder here.
        LaunchError: a folder of the operator's is none, or is for no volume.

    """
    volumes = {volume.name: volume for volume in mounted}
    for name, folder in given.items():
        if name not in volumes:
            there = ", ".join(volumes) or "none"
            raise LaunchError(f"--volume {name}={folder}: no container mounts a volume {name!r}; there are {there}")
        if not folder.is_dir():
            raise LaunchError(f"--volume {name}={folder}: is no folder; make it, or choose another")
    run = secrets.token_hex(4)
    return {
        name: Folder(given[name].absolute(), is_new=False) if name in given else _new(volume, run)
        for name, volume in volumes.items()
    }


def _new(volume: Volume, run: str) -> Folder:
    if volume.kind != EMPTY_DIR:
        advice = f"say which folder stands for it: --volume {volume.name}=FOLDER"
        where = path_text(volume.place)
        raise ManifestError(f"{where}: a volume of the kind {volume.kind} cannot be had on this machine; {advice}")
    return Folder(Path(tempfile.gettempdir(), f"ops-up-{run}-{volume.name}"), is_new=True)


def here(value: str, mounts: Iterable[Mount], at: Mapping[str, Folder]) -> str:
    """Return a path of a container as it is on this machine; what lies on no volume stays as it is."""
    mount = mount_of(value, mounts)
    return f"{at[mount.volume].path}{value.removeprefix(mount.path)}" if mount else value


def mount_of(value: str, mounts: Iterable[Mount]) -> Mount | None:
    """Return the mount that a path of a container lies on; None where it lies on none."""
    around = [mount for mount in mounts if value == mount.path or value.startswith(f"{mount.path}/")]
    return max(around, key=lambda each: len(each.path), default=None)  # the inner one of two that nest


@contextlib.contextmanager
def made(at: Iterable[Folder], keep: Callable[[Path], object]) -> Iterator[None]:
    """Make the new folders of a run, for its user alone, and remove them at the end; `keep` hears of each before.

    Raises:
        LaunchError: a folder cannot be made.

    """
    with contextlib.ExitStack() as stack:
        for folder in (each.path for each in at if each.is_new):
            keep(folder)
            try:
                folder.mkdir(mode=0o700)
            except OSError as error:
                raise LaunchError(f"{folder}: cannot be made ({error.strerror}); set TMPDIR") from error
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        yield
