"""The tables of rules in `lint.md`, made from the rules' own words. `python -m lab.pages.lint_rules [--check]`."""

import sys
from collections.abc import Iterable

from lab.pages.made_part import MadePart
from ops.lint.rules import RULES


def tables() -> str:
    """Return one table per topic, in the order of the rules."""
    topics = dict.fromkeys(each.topic for each in RULES.values())
    return "\n\n".join(
        _table(topic, ((each.id, each.meaning) for each in RULES.values() if each.topic == topic)) for topic in topics
    )


def _table(heading: str, of: Iterable[tuple[str, str]]) -> str:
    rows = [f"| `{name}` | {' '.join(meaning.split())} |" for name, meaning in of]
    return "\n".join([heading, "", "| rule | what it holds, and why |", "|---|---|", *rows])


RULES_PART = MadePart("lint.md", "rules", "lab.pages.lint_rules", tables)

if __name__ == "__main__":
    sys.exit(RULES_PART.main())
