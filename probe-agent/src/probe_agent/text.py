"""Text from outside, made fit to be logged, sent and printed. Pure."""


def printable(text: str) -> str:
    r"""Escape what is not printable: line breaks, terminal escapes, halves of surrogate pairs.

    >>> printable("owl\x1b[31m")
    'owl\\x1b[31m'
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
