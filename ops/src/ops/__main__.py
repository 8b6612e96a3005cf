"""`ops`: what operators run on their own machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

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
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
