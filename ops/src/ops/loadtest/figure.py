"""One figure with its interval. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with its 95 % interval, None where there was too little for one; base units."""

    value: float
    low: float | None = None
    high: float | None = None

    def under(self, numerator: float) -> Self:
        """Return `numerator` over the figure; the bounds change places."""
        low, high = (None if not each else numerator / each for each in (self.high, self.low))
        return type(self)(numerator / self.value if self.value else float("inf"), low, high)


def value(found: Mapping[str, Figure], name: str) -> float | None:
    """Return a figure's value, None where it is missing."""
    return found[name].value if name in found else None
