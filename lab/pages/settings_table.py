"""The table of `settings.md`, from the agent's list of variables. `python -m lab.pages.settings_table [--check]`."""

import sys

from lab.pages.made_part import MadePart
from probe_agent.variables import VARIABLES, Variable


def table() -> str:
    """Return one row for each variable: name, default, meaning."""
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *map(_row, VARIABLES)])


def _row(variable: Variable) -> str:
    default = "required" if variable.default is None else f"`{variable.default}`" if variable.default else "unset"
    meaning = variable.meaning.replace("|", r"\|")
    return f"| `{variable.name}` | {default} | {meaning} |"


SETTINGS_TABLE = MadePart("settings.md", "settings", "lab.pages.settings_table", table)

if __name__ == "__main__":
    sys.exit(SETTINGS_TABLE.main())
