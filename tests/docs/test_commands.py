"""Every command in the pages is one that its program takes. `test_commands_run.py` runs some of them."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import subprocess
from pathlib import Path

import pytest

from ops.__main__ import main as ops
from probe_agent.__main__ import main as probe_agent

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), ROOT / "ollama-image/README.md", *ROOT.glob("docs/**/*.md")]
FENCED = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`((?:ops|make|probe-agent) [^`]*)`")
IN_SCRIPT = re.compile(r"(?:^|[;&|(] ?|(?<=/))((?:ops|make|probe-agent) [^;&|\n]*)", re.MULTILINE)
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
PROGRAMS = {"ops": ops, "probe-agent": probe_agent}


def blocks() -> list[str]:
    """Return the fenced blocks of shell commands, each command on one line."""
    return [block.replace("\\\n", " ") for page in PAGES for block in FENCED.findall(page.read_text("utf-8"))]


def commands() -> list[str]:
    """Return the commands in the blocks, in sentences and in tables, each once."""
    in_sentences = [match for page in PAGES for match in INLINE.findall(page.read_text("utf-8"))]
    in_blocks = [match for block in blocks() for match in IN_SCRIPT.findall(block)]
    return sorted({" ".join(command.split("#")[0].split()) for command in in_sentences + in_blocks})


@pytest.mark.parametrize("block", blocks())
def test_a_block_is_a_script(block: str) -> None:
    """The shell can parse each block of commands."""
    subprocess.run(["bash", "-n", "-c", block], check=True, timeout=10)


@functools.cache
def help_of(program: str, *subcommands: str) -> str:
    """Return what `program subcommand… --help` prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        PROGRAMS[program]([*subcommands, "--help"])
    return printed.getvalue()


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one_that_its_program_takes(command: str) -> None:
    """The target of `make` exists. The subcommands and options of our programs are in their help."""
    program, *words = command.split()
    if program == "make":
        assert words[0] in TARGET.findall((ROOT / "Makefile").read_text("utf-8"))
        return
    subcommands: list[str] = []
    for word in words:
        if word[0] == "-" or not re.search(rf"^[ │]+{re.escape(word)}\b", help_of(program, *subcommands), re.MULTILINE):
            break
        subcommands.append(word)
    listed = help_of(program, *subcommands)
    assert subcommands or words[0].startswith("-"), f"{words[0]} is not in:\n{listed}"
    for option in re.findall(r"(?<!\S)--[a-z-]+", command):
        assert option in listed, f"{option} is not in:\n{listed}"
