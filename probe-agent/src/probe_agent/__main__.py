"""The composition root: reads the environment, wires the parts, serves until told to stop."""

import argparse
import os
import sys
import time

from probe_agent import __version__
from probe_agent.check import check
from probe_agent.errors import SettingsError


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status: 2 for bad settings, 1 when the port cannot be had."""
    started = time.monotonic()
    if arguments is None:
        arguments = sys.argv[1:]
    if arguments[:1] == ["check"]:
        return _check(arguments[1:])
    # Imported here, so that `check` stays quick: it starts anew for every health check of a container.
    from probe_agent.server import serve  # noqa: PLC0415
    from probe_agent.settings import Settings, help_text  # noqa: PLC0415

    parser = argparse.ArgumentParser(
        "probe-agent",
        description="Readiness sidecar for Ollama: ready means that the model answers.",
        epilog=f"commands:\n  check  ask a running agent once: exit 0 ready, 1 not ready, 2 unreachable\n\n"
        f"environment:\n{help_text()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(arguments)
    try:
        settings = Settings.from_environ(os.environ)
    except SettingsError as error:
        print("probe-agent cannot start; correct the environment:", *error.problems, sep="\n  ", file=sys.stderr)
        return 2
    return serve(settings, os.environ, started)


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:  # noqa: PLR2004 — TCP's bounds
        return int(text)
    raise argparse.ArgumentTypeError(f"expected 1 to 65535, here or in PROBE_AGENT_PORT, found {text!r}")


def _check(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("probe-agent check", description="Ask a running agent once whether it is ready.")
    parser.add_argument("--host", default="127.0.0.1", help="where the agent runs (%(default)s)")
    default = os.environ.get("PROBE_AGENT_PORT") or "9090"
    parser.add_argument("--port", type=_port, default=default, help="its port (PROBE_AGENT_PORT, or 9090)")
    options = parser.parse_args(arguments)
    status, line = check(options.port, options.host)
    print(line)
    return status


if __name__ == "__main__":
    sys.exit(main())
