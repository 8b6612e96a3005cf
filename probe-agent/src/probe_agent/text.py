"""Text from outside, made fit to be logged, sent and printed. Pure."""

import re


def masked(text: str) -> str:
    """Hide the user and password of an address, with a scheme or without.

    >>> masked("http://me:secret@ollama:11434")
    'http://***@ollama:11434'
    """
    return re.sub(r"^(\w+://)?.*@", r"\1***@", text, flags=re.DOTALL)


def printable(text: str) -> str:
    r"""Escape what is not printable: line breaks, terminal escapes, halves of surrogate pairs.

    >>> printable("owl\x1b[31m")
    'owl\\x1b[31m'
    """
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
