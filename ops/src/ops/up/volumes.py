"""Volumes on this machine: an emptyDir is a new folder for one run; any other is the folder that --volume names."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ops.up.errors import LaunchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ops.up.yaml_node import Node

EMPTY_DIR = "emptyDir"
NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
"""A DNS label, as the API demands; it becomes a part of a folder's name."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the revision; `place` is where the file speaks of it, and `kind` the field that says what it is."""

    name: str
    kind: str
    place: Node


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a container has a volume: an absolute path, without a slash at its end."""

    path: str
    volume: Volume


@dataclass(frozen=True, slots=True)
class Folder:
    """What stands for a volume here; a new one is made for the run, and is removed with all that is in it."""

    path: Path
    is_new: bool


def read_volumes(place: Node) -> dict[str, Volume]:
    """Read `spec.template.spec.volumes` by name; raises ManifestError for what is none."""
    found: dict[str, Volume] = {}
    for node in place:
        name = node["name"].text()
        if not NAME.fullmatch(name):
            raise node["name"].fail(f"expected lower-case letters, digits and hyphens, found {name!r}")
        if name in found:
            raise place.fail(f"expected names that differ, found {name!r} twice")
        kinds = [kind for kind in node.value if kind != "name"]
        if len(kinds) != 1:
            raise node.fail(f"expected one kind of volume, such as emptyDir, found {', '.join(kinds) or 'none'}")
        found[name] = Volume(name, kinds[0], node)
    return found


def read_mounts(place: Node, volumes: Mapping[str, Volume]) -> tuple[Mount, ...]:
    """Read a container's `volumeMounts`; raises ManifestError for a path or a volume that is none."""
    return tuple(_mount(node, volumes) for node in place)


def _mount(node: Node, volumes: Mapping[str, Volume]) -> Mount:
    name = node["name"].text()
    if name not in volumes:
        raise node["name"].fail(f"no volume is called {name!r}; there are {', '.join(volumes) or 'none'}")
    path = node["mountPath"].text().rstrip("/")
    if not path.startswith("/"):
        raise node["mountPath"].fail(f"expected an absolute path below '/', found {node['mountPath'].value!r}")
    return Mount(path, volumes[name])


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
        raise volume.place.fail(f"a volume of the kind {volume.kind} cannot be had on this machine; {advice}")
    return Folder(Path(tempfile.gettempdir(), f"ops-up-{run}-{volume.name}"), is_new=True)


def here(value: str, mounts: Iterable[Mount], at: Mapping[str, Folder]) -> str:
    """Return a path of a container as it is on this machine; what lies on no volume stays as it is."""
    mount = mount_of(value, mounts)
    return f"{at[mount.volume.name].path}{value.removeprefix(mount.path)}" if mount else value


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
