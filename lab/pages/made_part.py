"""Parts of pages in docs/ that are generated from the code or from results. Each stands between two marks."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class MadePart:
    """The part `name` of the page `page_name`. `make` returns its text; `module` has the command that writes it."""

    page_name: str
    name: str
    module: str
    make: Callable[[], str]

    @property
    def page(self) -> Path:
        """The page in docs/."""
        return FOLDER / self.page_name

    def placed_in(self, text: str) -> str:
        """Return the text of the page with a fresh part; raises `ValueError` if a mark is missing."""
        begins, ends = f"<!-- {self.name}: made by {self.module} -->", f"<!-- end of {self.name} -->"
        before, begin, rest = text.partition(begins)
        _, end, after = rest.partition(ends)
        if not begin or not end:
            raise ValueError(f"{self.page_name} must hold the lines {begins!r} and {ends!r}; put them back")
        return f"{before}{begin}\n{self.make()}\n{end}{after}"

    def is_stale(self) -> bool:
        """Whether the page differs from what `make` returns now."""
        text = self.page.read_text(encoding="utf-8")
        return self.placed_in(text) != text

    def write(self) -> None:
        """Write the generated part into the page."""
        self.page.write_text(self.placed_in(self.page.read_text(encoding="utf-8")), encoding="utf-8")

    def main(self) -> int:
        """Write the page, or with --check only compare; return the exit status."""
        parser = argparse.ArgumentParser(prog=f"python -m {self.module}", description=f"Write {self.page_name}'s part.")
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is out of date")
        if not parser.parse_args().check:
            self.write()
        elif self.is_stale():
            sys.stderr.write(f"{self.page} is out of date: run python -m {self.module}\n")
            return 1
        return 0
