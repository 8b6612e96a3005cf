"""`ops`: what operators run on their own machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ops.lint import command as lint
from ops.pin import command as pin
from ops.up import command, options

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit status."""
    parser = argparse.ArgumentParser(prog="ops", description="Operators' tools around probe-agent.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up",
        help="run a service.yaml on this machine",
        description="Run a service.yaml on this machine as Cloud Run would: the same containers, probes and gate.",
    )
    options.add_arguments(up)
    up.set_defaults(run=lambda arguments: command.run(options.from_arguments(arguments)))
    checked = commands.add_parser(
        "lint",
        help="check a service.yaml or a cloudbuild.yaml, offline",
        description="Check services and builds before the platform does: each finding with its rule, reason and fix.",
    )
    lint.add_arguments(checked)
    checked.set_defaults(run=lint.run)
    pinned = commands.add_parser(
        "pin",
        help="put image digests into a service's YAML",
        description="Name the images of a service by digest, so that what was verified is what is deployed.",
    )
    pin.add_arguments(pinned)
    pinned.set_defaults(run=pin.run)
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
