"""The command line of `ops up`, as a frozen dataclass."""

from __future__ import annotations

import argparse
import math
import shlex
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ops.up import ports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Choice = TypeVar("Choice", bound=StrEnum)


class Gating(StrEnum):
    """Which startup probes hold traffic back; the platform's documents can be read both ways."""

    ALL = "all"
    INGRESS = "ingress"


class ProbeKind(StrEnum):
    """The probes of the file, or Cloud Run's default TCP probe in their place, to show what that lets in."""

    FILE = "file"
    TCP = "tcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator asked for. Times in seconds."""

    file: Path = Path("service.yaml")
    gating: Gating = Gating.ALL
    probe: ProbeKind = ProbeKind.FILE
    port: int = 8080
    free_ports: bool = False
    standin: bool = False
    image_root: Path | None = None
    model: str | None = None
    process: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, Path] = field(default_factory=dict)
    once: bool = False
    logs: bool = True
    report: Path | None = None
    timeout_seconds: float | None = None


def _one_of(kind: type[Choice]) -> Callable[[str], Choice]:
    def parse(text: str) -> Choice:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(kind)}, found {text!r}") from None

    return parse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `ops up`."""
    add = parser.add_argument
    add(
        "file",
        nargs="?",
        type=Path,
        default=Path("service.yaml"),
        metavar="FILE",
        help="a Knative service (service.yaml)",
    )
    add("--once", action="store_true", help="start, chat once both ways, print answers and waterfall, stop")
    add(
        "--gating",
        type=_one_of(Gating),
        metavar="|".join(Gating),
        default=Gating.ALL,
        help="whose startup probes hold traffic: every container's (all), or the ingress's alone",
    )
    add(
        "--probe",
        type=_one_of(ProbeKind),
        metavar="|".join(ProbeKind),
        default=ProbeKind.FILE,
        help="the file's startup probes, or Cloud Run's default TCP probe instead",
    )
    add(
        "--model",
        metavar="NAME[@CTX]",
        help="serve this model of the local Ollama store instead of the file's",
    )
    either = parser.add_mutually_exclusive_group().add_argument
    either("--standin", action="store_true", help="run the stand-in even where there is an ollama")
    either("--image-root", type=Path, metavar="FOLDER", help="run the image of Ollama that is unpacked there")
    add("--port", type=_port, default=8080, help="the ingress's port on 127.0.0.1; 0: a free one (%(default)s)")
    add("--free-ports", action="store_true", help="give the containers free ports, never the file's")
    add(
        "--process",
        type=_process,
        action="append",
        default=[],
        metavar="CONTAINER=COMMAND",
        help="run COMMAND as this container",
    )
    add(
        "--volume",
        type=_volume,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="let FOLDER stand for this volume",
    )
    add(
        "--logs",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show the containers' output (default: yes, but not with --once)",
    )
    add("--report", type=Path, metavar="FILE", help="write times, early requests and waterfall as JSON")
    add(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help="with --once: the most that the whole run may take (300)",
    )


def from_arguments(arguments: argparse.Namespace) -> Options:
    """Turn parsed arguments into options."""
    return Options(
        file=arguments.file,
        gating=arguments.gating,
        probe=arguments.probe,
        port=arguments.port,
        free_ports=arguments.free_ports,
        standin=arguments.standin,
        image_root=arguments.image_root,
        model=arguments.model,
        process=dict(arguments.process),
        volumes=dict(arguments.volume),
        once=arguments.once,
        logs=not arguments.once if arguments.logs is None else arguments.logs,
        report=arguments.report,
        timeout_seconds=arguments.timeout,
    )


def _process(text: str) -> tuple[str, str]:
    name, _, command = text.partition("=")
    try:
        words = shlex.split(command)
    except ValueError:  # an open quotation
        words = []
    if not name or not words:
        raise argparse.ArgumentTypeError(f"expected CONTAINER=COMMAND, found {text!r}")
    return name, command


def _volume(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"expected NAME=FOLDER, found {text!r}")
    return name, Path(folder)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > ports.HIGHEST:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {ports.HIGHEST}, found {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text!r}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    """Run `ops up`."""
    from ops.up import command  # noqa: PLC0415 — a quarter of a second of imports that no other command needs

    return command.run(from_arguments(arguments))
