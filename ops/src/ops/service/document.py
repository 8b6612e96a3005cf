"""YAML text as plain values, with the line of each and every duplicate key. The only reader of service files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ops.service.problem import Place

# A service.yaml has some kilobytes. PyYAML reads this much in about a second.
MOST_BYTES = 256 * 1024
# A service has hundreds of values; more than this come from anchors that contain each other.
MOST_NODES = 50_000


class Unreadable(Exception):
    """The file cannot be read as one YAML document. `reason` is one line; `line` counts from 1."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(f"line {line}: {reason}")
        self.reason = reason
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """One document: its value, and the nodes that know the lines."""

    value: Any
    root: yaml.Node
    duplicates: tuple[tuple[Place, int], ...] = ()

    def line(self, place: Place) -> int:
        """Return the line of a place, counted from 1; for a missing value, the line of what surrounds it."""
        node, line = self.root, self.root.start_mark.line
        for step in place:
            if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                node = node.value[step]
                line = node.start_mark.line
                continue
            pair = last_pair(node, step)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        return line + 1


def read_file(file: Path) -> str:
    """Return a file's text with its own line ends.

    Raises:
        Unreadable: it cannot be opened, is too large, or is not UTF-8.

    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    _check_bytes(len(content))
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable("is not UTF-8 text; save it as UTF-8", content[: error.start].count(b"\n") + 1) from error


def read(text: str) -> Document:
    """Read the one document of a text.

    Raises:
        Unreadable: the text is not YAML, is too large, or holds no document or several.

    """
    _check_bytes(len(text))
    try:
        return _document(yaml.SafeLoader(text))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(f"holds the character {chr(error.character)!r}, which YAML does not allow", line) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.problem, error.context) if part)
        raise Unreadable(f"is not YAML: {' '.join(reason.split())}", mark.line + 1 if mark else 1) from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply to be a service") from error
    except (LookupError, AttributeError, TypeError, ValueError) as error:  # PyYAML on `!!bool maybe`
        raise Unreadable("a value does not fit the tag before it, such as !!bool or !!timestamp") from error


def read_strict(text: str) -> Document:
    """Read the one document of a text that is going to be used or edited: duplicate keys are refused too.

    Raises:
        Unreadable: as `read`, or a key stands twice.

    """
    found = read(text)
    for place, line in found.duplicates:
        raise Unreadable(f"the key {str(place[-1])!r} stands twice; remove one", line)
    return found


def last_pair(node: yaml.Node, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the key and value nodes that count: for a duplicate key, the last."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((pair for pair in reversed(node.value) if pair[0].value == key), None)


def _check_bytes(count: int) -> None:
    if count > MOST_BYTES:
        raise Unreadable(f"is larger than {MOST_BYTES // 1024} KiB; a service.yaml has some kilobytes")


def _document(loader: yaml.SafeLoader) -> Document:
    root = None
    while loader.check_node():
        node = loader.get_node() or yaml.ScalarNode("", "")
        if root is not None and not _is_empty(node):
            line = node.start_mark.line + 1
            raise Unreadable("holds a second document; split the file: a service is deployed from one", line)
        root = root if _is_empty(node) else node
    if root is None:
        raise Unreadable("holds no document; give a service.yaml")
    _check_size(root)
    duplicates = tuple(_duplicates(root, ()))  # before the values are made, which flattens merge keys
    return Document(loader.construct_document(root), root, duplicates)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.value


def _check_size(root: yaml.Node) -> None:
    waiting, seen = [root], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > MOST_NODES:
            raise Unreadable(f"holds more than {MOST_NODES} values: do its anchors contain each other?")
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
