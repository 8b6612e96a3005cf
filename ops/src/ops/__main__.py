"""`ops`: what operators run on their own machine."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ops.lint import command as lint
from ops.loadtest import command as loadtest
from ops.models import command as models
from ops.pin import command as pin
from ops.plan import options as plan_options
from ops.quality import command as quality
from ops.up import options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit status."""
    parser = argparse.ArgumentParser(prog="ops", description="Operators' tools around probe-agent.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str,
        add_arguments: Callable[[argparse.ArgumentParser], None],
        run: Callable[[argparse.Namespace], int],
        *,
        does: str,
        description: str,
    ) -> None:
        command = commands.add_parser(name, help=does, description=description)
        add_arguments(command)
        command.set_defaults(run=run)

    add(
        "up",
        options.add_arguments,
        _up,
        does="run a service.yaml on this machine",
        description="Run a service.yaml on this machine as Cloud Run would: the same containers, probes and gate.",
    )
    add(
        "lint",
        lint.add_arguments,
        lint.run,
        does="check a service.yaml or a cloudbuild.yaml, offline",
        description="Check services and builds before the platform does: each finding with its rule, reason and fix.",
    )
    add(
        "pin",
        pin.add_arguments,
        pin.run,
        does="put image digests into a service's YAML",
        description="Name the images of a service by digest, so that what was verified is what is deployed.",
    )
    add(
        "models",
        models.add_arguments,
        models.run,
        does="put a model of this machine into a bucket",
        description="Models between the local Ollama store and a bucket that the agent, or a mount, reads.",
    )
    add(
        "plan",
        plan_options.add_arguments,
        _plan,
        does="what a model needs, what fits, how many requests at once, and what it costs",
        description="Plan a service before it is deployed: memory, concurrency, the startup probe, cost, settings.",
    )
    add(
        "loadtest",
        loadtest.add_arguments,
        loadtest.run,
        does="measure a service, and find what one instance should take",
        description="Measure a service over a sweep of loads; find containerConcurrency and OLLAMA_NUM_PARALLEL.",
    )
    add(
        "quality",
        quality.add_arguments,
        quality.run,
        does="show what a quantised KV cache changes in a model's answers",
        description="Answer the same questions with each type of KV cache, and hold the answers against f16.",
    )
    words = sys.argv[1:] if argv is None else argv
    arguments = parser.parse_args(words, argparse.Namespace(words=tuple(words)))
    status: int = arguments.run(arguments)
    return status


def _up(arguments: argparse.Namespace) -> int:
    from ops.up import command  # noqa: PLC0415 — a quarter of a second of imports that no other command needs

    return command.run(options.from_arguments(arguments))


def _plan(arguments: argparse.Namespace) -> int:
    from ops.plan import command  # noqa: PLC0415 — half a second of imports that no other command needs

    return command.run(arguments)


if __name__ == "__main__":
    sys.exit(main())
