"""Lengths in tokens: fixed, or drawn from a distribution. Pure."""

import random
import re
from dataclasses import dataclass

# Tokens; no model here has a longer context.
LONGEST = 1_000_000
NUMBER = r"(\d+(?:\.\d+)?)"
FORMS = {
    "fixed": re.compile(NUMBER),
    "uniform": re.compile(rf"uniform:{NUMBER},{NUMBER}"),
    "normal": re.compile(rf"normal:{NUMBER},{NUMBER}"),
    "lognormal": re.compile(rf"lognormal:{NUMBER},{NUMBER}"),
}
EXPECTED = "expected TOKENS, uniform:LOW,HIGH, normal:MEAN,DEVIATION or lognormal:MEDIAN,SIGMA"


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of lengths; `text` is how it was asked for."""

    text: str
    kind: str
    first: float
    second: float = 0.0

    def draw(self, source: random.Random) -> int:
        """Return a length, at least 1."""
        if self.kind == "uniform":
            drawn = source.uniform(self.first, self.second)
        elif self.kind == "normal":
            drawn = source.gauss(self.first, self.second)
        elif self.kind == "lognormal":
            drawn = self.first * source.lognormvariate(0, self.second)
        else:
            drawn = self.first
        return max(1, min(LONGEST, round(drawn)))


def parse(text: str) -> Lengths:
    """Read a distribution; raises ValueError for what is none."""
    for kind, form in FORMS.items():
        if match := form.fullmatch(text):
            numbers = [float(number) for number in match.groups()]
            if not 1 <= numbers[0] <= LONGEST or (kind == "uniform" and not numbers[0] <= numbers[1] <= LONGEST):
                break
            return Lengths(text, kind, *numbers)
    raise ValueError(f"{EXPECTED}, lengths from 1 to {LONGEST}; found {text!r}")
