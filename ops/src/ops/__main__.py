"""`ops`: what operators run on their own machine."""

import sys
from collections.abc import Sequence

from ops import cli

# Each command's module is imported when it runs: `ops --help` needs none of them.
app = cli.make_app("ops", "Operators' tools around probe-agent.")
app.command("ops.up.command:up", name="up", help="Run a service.yaml on this machine as Cloud Run would.")
app.command("ops.lint.command:run", name="lint", help="Check a service.yaml, offline.")
app.command(
    "ops.plan.command:run",
    name="plan",
    help="Plan a service before it is deployed: memory, concurrency, the startup probe, cost, settings.",
)
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
