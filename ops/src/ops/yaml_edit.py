"""YAML edited as a person would: comments, quotes and order stay, and what nobody changed comes out as it was."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

LONGEST_LINE = 4096
"""Characters before a line is broken: longer than any of a service, so that none is."""


class NotYaml(ValueError):
    """The text is no YAML, or a key stands in it twice; the text says where, on one line."""


def load(text: str) -> Any:
    """Read one document so that `dump` can write it back: mappings and lists that know their comments.

    A changed value is set as in a dict or a list. Raises `NotYaml`.
    """
    try:
        return _yaml().load(text)
    except (YAMLError, ValueError) as error:
        raise NotYaml(" ".join(_reason(error).split())) from error
    except RecursionError as error:
        raise NotYaml("is nested too deep to be a service") from error


def dump(document: Any) -> str:
    """Write a document of `load`, indented as this repository's files are: lists two columns inside their key."""
    stream = io.StringIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def _yaml() -> YAML:
    """Return a new reader and writer: one that is used twice remembers the first document's directives."""
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = LONGEST_LINE
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _reason(error: Exception) -> str:
    """Return what is wrong and in which line, without the excerpt and the advice that ruamel.yaml adds."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark else problem
