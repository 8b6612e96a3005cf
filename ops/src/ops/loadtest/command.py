"""`ops loadtest`: measure, choose, report; compare two runs; write a report anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ops.loadtest import options
from ops.loadtest.errors import LoadTestError

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

INTERRUPTED = 130
"""A shell's status for a program that SIGINT ended."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions of `ops loadtest`."""
    actions = parser.add_subparsers(required=True, metavar="ACTION", dest="action")
    run_parser = actions.add_parser("run", help="measure a service over a sweep of loads, and choose")
    options.add_run_arguments(run_parser)
    compare = actions.add_parser("compare", help="tell in what two runs differ beyond noise")
    compare.add_argument("first", type=Path, metavar="A.json", help="the run.json that the other is held against")
    compare.add_argument("second", type=Path, metavar="B.json")
    compare.add_argument("--json", type=Path, metavar="FILE", help="write the comparison as JSON")
    report = actions.add_parser("report", help="write the report of a run anew, with other limits or prices")
    report.add_argument("run_file", type=Path, metavar="run.json")
    options.add_report_arguments(report)


def run(arguments: argparse.Namespace, console: Console | None = None) -> int:
    """Run an action. Returns 0: done, with a choice; 1: no choice, or broken off; 2: bad input; 130: Ctrl-C."""
    try:
        from ops.console import standard_output  # noqa: PLC0415 — rich and what follows take a second

        console = console or standard_output()
        if arguments.action == "compare":
            from ops.loadtest import compare  # noqa: PLC0415

            return compare.show(arguments.first, arguments.second, arguments.json, console)
        from ops.loadtest import measure  # noqa: PLC0415

        if arguments.action == "report":
            return measure.report_again(arguments, console)
        from ops.loadtest import resuming  # noqa: PLC0415

        return measure.measure(resuming.chosen(arguments, arguments.words[2:]), console)
    except LoadTestError as error:
        sys.stderr.write(f"ops loadtest {arguments.action}: {error}\n")
        return error.exit_status
    except BrokenPipeError:
        return 1  # who read the output has left; the files are written before it
    except KeyboardInterrupt:
        sys.stderr.write(f"ops loadtest {arguments.action}: interrupted\n")
        return INTERRUPTED
