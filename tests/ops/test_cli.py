"""How `ops` reads its command line: quick help, one line for each mistake, options that add up."""

import subprocess
import sys
from typing import Annotated

import pytest

from ops import cli
from ops.__main__ import main
from ops.cli import named


def test_help_of_ops_imports_no_command() -> None:
    """`ops --help` starts without the libraries of the commands that it lists."""
    script = (
        "import sys; from ops.__main__ import main; main(['--help']); "
        "print([name for name in ('numpy', 'matplotlib', 'yaml', 'aiohttp', 'httpx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "loadtest" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2, and the commands that there are."""
    assert main(["sideways"]) == 2
    line = capsys.readouterr().err
    assert line.startswith('ops: Unknown command "sideways"')
    assert "loadtest" in line
    assert line.count("\n") == 1


def test_named_values_add_up() -> None:
    """NAME=VALUE may be given several times, before and after a positional argument, in both forms."""
    app, found = cli.make_app("test", ""), []

    def read(text: str) -> tuple[str, str]:
        name, _, value = text.partition("=")
        return name, value

    @app.default
    def run(file: str, /, *, each: Annotated[dict[str, str], named("Values.", read)]) -> int:
        found.append((file, each))
        return 0

    assert cli.run(app, ["--each", "a=b c", "f", "--each=b=-c"]) == 0
    assert found == [("f", {"a": "b c", "b": "-c"})]
