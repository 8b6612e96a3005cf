"""`ops`: what operators run on their own machine."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

from cyclopts import App, Parameter

from ops import cli

# Each command's module is imported when it runs: `ops --help` needs none of them.
app = cli.make_app("ops", "Operators' tools around probe-agent.")
app.command("ops.up.command:up", name="up", help="Run a service.yaml on this machine as Cloud Run would.")
app.command("ops.pin.command:run", name="pin", help="Put image digests into a service's YAML.")
app.command(
    "ops.loadtest.command:app",
    name="loadtest",
    help="Measure a service, and find what one instance should take.",
)
app.command(
    "ops.quality.command:run",
    name="quality",
    help="Show what a quantised KV cache changes in a model's answers.",
)


def _argparse(name: str, module: str, run: str, description: str) -> None:
    """Add a command whose module still declares its options by argparse."""

    def command(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
        parser = argparse.ArgumentParser(prog=f"ops {name}", description=description)
        importlib.import_module(module).add_arguments(parser)
        where, _, function = run.partition(":")
        work: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(where), function)
        try:
            return work(parser.parse_args(words))
        except SystemExit as ended:
            return int(ended.code or 0)

    app.command(App(name=name, help=description, help_flags=[], version_flags=[], default_command=command))


_argparse("lint", "ops.lint.command", "ops.lint.command:run", "Check a service.yaml, offline.")
_argparse(
    "plan",
    "ops.plan.options",
    "ops.plan.command:run",
    "Plan a service before it is deployed: memory, concurrency, the startup probe, cost, settings.",
)


# A shell's status for a program that SIGINT ended.
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one of the commands; returns its exit status."""
    try:
        return cli.run(app, argv)
    except KeyboardInterrupt:  # while a command was being imported, before it handles signals itself
        sys.stderr.write("ops: interrupted\n")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
