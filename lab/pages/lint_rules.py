"""The tables of rules in `lint.md`, made from the rules' own words. `python -m lab.pages.lint_rules [--check]`."""

import sys
from collections.abc import Iterable

from lab.pages.made_part import MadePart
from ops.lint import rules
from ops.lint.findings import RULES


def tables() -> str:
    """Return one table per topic, with its module's docstring as the heading, in the order of the rules."""
    rules.load_all()
    modules = [f"{rules.__name__}.{topic}" for topic in rules.TOPICS]  # they may have been imported in another order
    return "\n\n".join(
        _table(
            (sys.modules[module].__doc__ or "").splitlines()[0],
            ((each.id, each.meaning) for each in RULES.values() if each.check.__module__ == module),
        )
        for module in modules
    )


def _table(heading: str, of: Iterable[tuple[str, str]]) -> str:
    rows = [f"| `{name}` | {' '.join(meaning.split())} |" for name, meaning in of]
    return "\n".join([heading, "", "| rule | what it holds, and why |", "|---|---|", *rows])


RULES_PART = MadePart("lint.md", "rules", "lab.pages.lint_rules", tables)

if __name__ == "__main__":
    sys.exit(RULES_PART.main())
