"""Figures as people read them. Pure."""

from ops.loadtest.figure import Figure

NONE = "–"


def seconds(value: float | None) -> str:
    """Write a time: ms below a second."""
    if value is None:
        return NONE
    return f"{value * 1000:.3g} ms" if value < 0.9995 else f"{value:.3g} s"  # noqa: PLR2004 — what rounds to a second


def number(value: float | None) -> str:
    """Write a number with three digits, whole ones from 100 on."""
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"  # noqa: PLR2004 — three digits


def share(value: float | None) -> str:
    """Write a share in percent."""
    return NONE if value is None else f"{number(value * 100)} %"


def dollars(value: float | None) -> str:
    """Write US dollars with three digits."""
    return NONE if value is None else f"${number(value)}"


def plus_minus(figure: Figure | None) -> str:
    """Write how wide a figure's interval is, as half of it in percent of the figure; nothing where there is none."""
    if figure is None or figure.low is None or figure.high is None or not figure.value:
        return ""
    return f"± {number((figure.high - figure.low) / 2 / abs(figure.value) * 100)} %"


def plural(count: int, noun: str) -> str:
    """Write a count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
