"""The options of `ops up`: each stands here once."""

import shlex
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from ops import cli
from ops.cli import named, number, option, whole
from ops.up import ports


class Gating(StrEnum):
    """Which startup probes hold traffic back; the platform's documents can be read both ways."""

    ALL = "all"
    INGRESS = "ingress"


class ProbeKind(StrEnum):
    """The probes of the file, or Cloud Run's default TCP probe in their place, to show what that lets in."""

    FILE = "file"
    TCP = "tcp"


def read_process(text: str) -> tuple[str, str]:
    """Read CONTAINER=COMMAND; raises ValueError for anything else."""
    name, _, command = text.partition("=")
    try:
        words = shlex.split(command)
    except ValueError:  # an open quotation
        words = []
    if not name or not words:
        raise ValueError(f"expected CONTAINER=COMMAND, found {text!r}")
    return name, command


def read_volume(text: str) -> tuple[str, Path]:
    """Read NAME=FOLDER; raises ValueError for anything else."""
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise ValueError(f"expected NAME=FOLDER, found {text!r}")
    return name, Path(folder)


@cli.options
@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked for. Times in seconds."""

    file: Annotated[Path, option("Knative service to run.", metavar="FILE")] = Path("service.yaml")
    _: KW_ONLY
    once: Annotated[bool, option("Start, chat once over each API, print answers and waterfall, stop.")] = False
    gating: Annotated[
        Gating, option("Startup probes that hold traffic: of every container, or of the ingress.", metavar="WHOSE")
    ] = Gating.ALL
    probe: Annotated[
        ProbeKind, option("Startup probes: those of the file, or Cloud Run's default TCP probe.", metavar="WHICH")
    ] = ProbeKind.FILE
    model: Annotated[
        str | None, option("Model of the local Ollama store, instead of the file's.", metavar="NAME[@CTX]")
    ] = None
    standin: Annotated[bool, option("Run the stand-in even if there is an ollama.")] = False
    image_root: Annotated[Path | None, option("Folder with an unpacked Ollama image to run.", metavar="FOLDER")] = None
    port: Annotated[
        int, option("Port of the ingress on 127.0.0.1; 0: a free one.", whole(0, ports.HIGHEST), metavar="PORT")
    ] = 8080
    free_ports: Annotated[bool, option("Give the containers free ports instead of the file's.")] = False
    process: Annotated[
        Mapping[str, str],
        named("Command to run as this container; repeatable.", read_process, metavar="CONTAINER=COMMAND"),
    ] = field(default_factory=dict)
    volumes: Annotated[
        Mapping[str, Path],
        named("Folder for this volume; repeatable.", read_volume, name="--volume", metavar="NAME=FOLDER"),
    ] = field(default_factory=dict)
    logs: Annotated[
        bool | None,
        option("Containers' output: all or none (default: warnings; none with --once).", negative="--no-logs"),
    ] = None
    report: Annotated[Path | None, option("File for times, early requests and waterfall as JSON.", metavar="FILE")] = (
        None
    )
    timeout_seconds: Annotated[
        float | None,
        option(
            "Time limit for a run with --once (default 300).", number(0.001, 1e6), name="--timeout", metavar="SECONDS"
        ),
    ] = None

    @property
    def shown_logs(self) -> bool | None:
        """Which lines of the containers are shown: True all, None warnings and errors, False none."""
        return False if self.once and self.logs is None else self.logs
