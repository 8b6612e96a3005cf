"""The tables of rules in `lint.md`, made from the rules' own words. `python -m docs.lint_rules [--check]`."""  # noqa: INP001 — beside the pages, not a package

import sys
from collections.abc import Iterable

from docs.made_part import MadePart

from ops.lint.findings import RULES
from ops.lint.rules import load_all


def tables() -> str:
    """Return a table for each module of rules, headed by what the module says of itself, in the order of its rules."""
    load_all()
    modules = dict.fromkeys(rule.check.__module__ for rule in RULES.values())
    return "\n\n".join(
        _table(
            (sys.modules[module].__doc__ or "").splitlines()[0],
            ((each.id, each.meaning) for each in RULES.values() if each.check.__module__ == module),
        )
        for module in modules
    )


def _table(heading: str, rules: Iterable[tuple[str, str]]) -> str:
    rows = [f"| `{name}` | {' '.join(meaning.split())} |" for name, meaning in rules]
    return "\n".join([heading, "", "| rule | what it holds, and why |", "|---|---|", *rows])


RULES_PART = MadePart("lint.md", "rules", "docs.lint_rules", tables)

if __name__ == "__main__":
    sys.exit(RULES_PART.main())
