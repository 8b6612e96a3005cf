"""`ops loadtest`: measure, choose, report; compare two runs; write a report anew."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from rich.console import Console

from ops import cli
from ops.cli import option
from ops.console import standard_output
from ops.loadtest import compare as comparing
from ops.loadtest import measure
from ops.loadtest.errors import LoadTestError
from ops.loadtest.options import FILES, Goal, Options

# A shell's status for a program that SIGINT ended.
INTERRUPTED = 130

app = cli.make_app("loadtest", "Measure a service, and find containerConcurrency and OLLAMA_NUM_PARALLEL.")


@app.command
def run(options: Options = Options(), goal: Goal = Goal()) -> int:  # noqa: B008 — both are frozen
    """Measure a service over a sweep of loads, and choose.

    Exit status: 0 a choice, 1 no choice or ended early, 2 bad input, 130 Ctrl-C.
    """
    return _ended("run", lambda console: measure.measure(options, goal, console))


@app.command
def compare(
    first: Annotated[Path, option("run.json to compare with.", metavar="A.json")],
    second: Annotated[Path, option("run.json that is compared.", metavar="B.json")],
    /,
    *,
    json: Annotated[Path | None, option("File for the comparison as JSON.", metavar="FILE")] = None,
) -> int:
    """Show in what two runs differ beyond noise."""
    return _ended("compare", lambda console: comparing.show(first, second, json, console))


@app.command
def report(
    run_file: Annotated[Path, option("File of the run.", metavar="run.json")],
    /,
    *,
    goal: Goal = Goal(),  # noqa: B008 — it is frozen
    out: Annotated[
        Path | None, option("Folder for the report (default: that of the run).", group=FILES, metavar="FOLDER")
    ] = None,
) -> int:
    """Write the report of a run again, with other limits or prices."""
    return _ended("report", lambda console: measure.report_again(run_file, out or run_file.parent, goal, console))


def _ended(action: str, work: Callable[[Console], int]) -> int:
    """Do the work; an error is one line and its exit status."""
    try:
        return work(standard_output())
    except LoadTestError as error:
        sys.stderr.write(f"ops loadtest {action}: {error}\n")
        return error.exit_status
    except BrokenPipeError:
        return 1  # who read the output has left; the files are written before it
    except KeyboardInterrupt:
        sys.stderr.write(f"ops loadtest {action}: interrupted\n")
        return INTERRUPTED
