"""The parts of the documentation that are made from the code or from results."""

import pytest

from lab.pages.benchmark_table import BENCHMARK_TABLE
from lab.pages.fault_table import FAULT_TABLES
from lab.pages.lint_rules import RULES_PART
from lab.pages.made_part import MadePart
from lab.pages.settings_table import SETTINGS_TABLE
from lab.pages.state_diagram import DIAGRAM

PARTS = [BENCHMARK_TABLE, DIAGRAM, FAULT_TABLES, RULES_PART, SETTINGS_TABLE]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.page_name)
def test_the_generated_part_of_a_page_is_up_to_date(part: MadePart) -> None:
    """The generated part of a page equals what its generator returns now."""
    assert not part.is_stale(), f"run python -m {part.module}"


def test_a_page_without_its_marks_says_which_to_put_back() -> None:
    """A mark that somebody has removed is an error that shows it."""
    with pytest.raises(
        ValueError, match=r"lint\.md must hold the lines '<!-- rules: made by lab\.pages\.lint_rules -->'"
    ):
        RULES_PART.placed_in("# a page")
