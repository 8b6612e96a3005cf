"""YAML edited as a person would.

`with_scalars` sets values that are there: every other byte stays. `load` and `dump` are for what a file does not have
yet: comments, quotes and order stay, the layout where it is regular.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.error import YAMLError

# Characters before a line is broken: longer than any of a service, so that none is.
LONGEST_LINE = 4096
# A key with its list right below it, not inside: how gcloud and kubectl export.
FLUSH_LIST = re.compile(r"^( *)[^\s#-][^\n]*:(?: *#[^\n]*)?\n\1- ", re.MULTILINE)
# A text that every reader takes for that text without quotes.
PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][\w./@-]*(?::[\w./@-]+)*", re.ASCII | re.IGNORECASE)
# Anchor and tag before a value.
PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")

# The way from the top of a document to a value: keys and indices.
Place = tuple[str | int, ...]
Scalar = str | int | bool


class NotYaml(ValueError):
    """The text is no YAML, or a key stands in it twice; the text says where, on one line."""


class NotSettable(ValueError):
    """At a place is no value that can be set by itself; the text says where and why, on one line."""


def with_scalars(text: str, values: Mapping[Place, Scalar]) -> str:
    """Return the text with the value at each place set, a text in the quotes that were there; every other byte stays.

    Raises `NotYaml`; `NotSettable` where a place is not written, or holds no value of one line, or one that is repeated
    elsewhere by its anchor.
    """
    wanted = load(text)
    root = _yaml().compose(text)
    nodes = [(_scalar(root, place), value) for place, value in values.items()]
    for node, value in sorted(nodes, key=lambda each: -each[0].start_mark.index):  # the last first: marks stay right
        start, end = node.start_mark.index, node.end_mark.index
        before = PROPERTIES.match(text, start, end)
        kept = before[0] if before else ""
        text = text[:start] + kept + _written(value, node.style) + text[end:]
    try:
        for place, value in values.items():
            _set(wanted, place, value)
        if load(text) == wanted:
            return text
    except (NotYaml, LookupError):  # a key with a tag is another key than its text
        pass
    raise NotSettable(f"{_names(values)}: an anchor or a tag changes what is set there; write the value out")


def load(text: str) -> Any:
    """Read one document so that `dump` can write it back: mappings and lists that know their comments.

    A changed value is set as in a dict or a list. Texts such as yes, off or 12:30, which older readers take for
    something else, have to be set as ruamel.yaml's SingleQuotedScalarString. Raises `NotYaml`.
    """
    try:
        return _yaml().load(text)
    except (YAMLError, ValueError) as error:
        raise NotYaml(" ".join(_reason(error).split())) from error
    except (AssertionError, AttributeError, LookupError, TypeError) as error:  # ruamel.yaml on `!!bool maybe`
        raise NotYaml("cannot be read as YAML: does each value fit the tag before it, such as !!bool?") from error
    except RecursionError as error:
        raise NotYaml("is nested too deep to be a service") from error


def dump(document: Any, *, like: str = "") -> str:
    """Write a document of `load`, its lists indented as in the text `like`; without one as this repository's files.

    Those have lists two columns inside their key. A text that begins with --- does so again. What stands before a
    later ---, and indents of another width, are lost.
    """
    yaml = _yaml()
    if FLUSH_LIST.search(like):
        yaml.indent(mapping=2, sequence=2, offset=0)
    yaml.explicit_start = like.startswith("---") or None
    stream = io.StringIO()
    yaml.dump(document, stream)
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


def _scalar(node: Node | None, place: Place) -> ScalarNode:
    for step in place:
        found = None
        if isinstance(node, MappingNode):
            found = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
            found = node.value[step]
        node = found
    if not isinstance(node, ScalarNode) or node.start_mark.index == node.end_mark.index:
        raise NotSettable(f"{_names([place])}: no single value is written there; write one, whatever it is")
    if node.style in ("|", ">"):
        raise NotSettable(f"{_names([place])}: is a text of several lines; write it on one")
    return node


def _set(document: Any, place: Place, value: object) -> None:
    for step in place[:-1]:
        document = document[step]
    document[place[-1]] = value


def _written(value: Scalar, style: str | None) -> str:
    """Write a value for YAML: a text in its quotes, and where it has none only those that it needs."""
    if not isinstance(value, str):
        return json.dumps(value)
    if style == '"' or not value.isprintable():
        return json.dumps(value, ensure_ascii=False)
    return value if not style and PLAIN.fullmatch(value) else "'" + value.replace("'", "''") + "'"


def _names(places: Mapping[Place, object] | list[Place]) -> str:
    return ", ".join(".".join(str(step) for step in place) for place in places)
