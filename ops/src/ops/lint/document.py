"""YAML text as plain values, with the line of each and every key that stands twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ops.lint.findings import Place

MOST_NODES = 50_000
"""A service has hundreds of nodes; more than this comes of anchors that hold each other."""


class Unparsable(Exception):
    """The text is no YAML, or not such as can be looked at; `line` counts from 1."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its value, and the nodes that know the lines."""

    value: Any
    root: yaml.Node
    duplicates: tuple[tuple[Place, int], ...]

    def line(self, place: Place) -> int:
        """Return the line of a place, counted from 1; of the nearest thing around it when it is not written."""
        node, line = self.root, self.root.start_mark.line
        for step in place:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line
                continue
            pair = _last_pair(node, step)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        return line + 1


def read(text: str) -> list[Document]:
    """Read every document of a file; empty ones are left out. Raises `Unparsable`."""
    loader = yaml.SafeLoader(text)
    try:
        return list(_documents(loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.problem, error.context) if part)
        raise Unparsable(reason, mark.line + 1 if mark else 1) from error
    except RecursionError as error:
        raise Unparsable("is nested too deep to be a service", 1) from error
    except (yaml.YAMLError, ValueError) as error:
        raise Unparsable(" ".join(str(error).split()), 1) from error
    except (LookupError, AttributeError, TypeError) as error:  # how PyYAML fails on `!!bool maybe`
        raise Unparsable("a value does not fit the tag before it, such as !!bool or !!timestamp", 1) from error
    finally:
        loader.dispose()


def _documents(loader: yaml.SafeLoader) -> Iterator[Document]:
    while loader.check_node():
        root = loader.get_node()
        if root is None:
            return
        _check_size(root)
        duplicates = tuple(_duplicates(root, ()))  # before the values are made, which flattens merge keys
        value = loader.construct_document(root)
        if value is not None:
            yield Document(value, root, duplicates)


def _last_pair(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and value nodes that count: of a key that stands twice, the last."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((pair for pair in reversed(node.value) if pair[0].value == key), None)


def _check_size(root: yaml.Node) -> None:
    waiting, seen = [root], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > MOST_NODES:
            raise Unparsable(f"more than {MOST_NODES} values: do its anchors hold themselves?", 1)
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _duplicates(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _duplicates(item, (*place, index))
    if isinstance(node, yaml.MappingNode):
        first: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in first and name != "<<":
                yield (*place, name), key.start_mark.line + 1
            first.add(name)
            yield from _duplicates(value, (*place, name))
