"""Tests and benchmarks share code by lab/ only."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The folders of each room, and what the room may not import.
ROOMS = [("tests", "benchmarks|docs"), ("benchmarks", "tests|docs"), ("lab", "tests|benchmarks|docs")]


@pytest.mark.parametrize(("room", "others"), ROOMS)
def test_a_room_does_not_import_another(room: str, others: str) -> None:
    """Tests and benchmarks import lab, never each other; lab imports neither."""
    forbidden = re.compile(rf"^\s*(?:from|import) (?:{others})\b", re.MULTILINE)
    files = [*(ROOT / room).rglob("*.py")]
    assert files
    assert not [file for file in files if forbidden.search(file.read_text("utf-8"))]
