"""`python -m ops.standin serve`: the stand-in as a process, set up by Ollama's own variables."""

from __future__ import annotations

import argparse
import os
import sys

from ops.standin import process


def main() -> int:
    """Serve until SIGTERM; exit 0, or 2 with a sentence for a setting that is wrong."""
    parser = argparse.ArgumentParser(prog="ops.standin", description="The Ollama API over llama.cpp.")
    parser.add_argument("command", choices=["serve"])
    parser.parse_args()
    try:
        settings = process.Settings.from_environ(os.environ)
    except ValueError as error:
        sys.stderr.write(f"ops.standin: {error}\n")
        return 2
    process.serve(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
