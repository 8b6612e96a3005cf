"""A document held against a table of the API's types: unknown names, wrong types and missing fields.

`make schemas` makes the tables from Google's API descriptions; ops/make_schemas.py documents their notation.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

from ops.service.problem import Place, Problem, Severity

Table = Mapping[str, Mapping[str, str]]
FIELD_TYPE = re.compile(r"(?P<open>[\[{]?)(?P<name>[\w:|.-]+)[\]}]?(?P<mark>[!~]?)")
EXPECTED: dict[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "text"),
    "integer": (int, "a whole number"),
    "int64": ((int, str), "a whole number"),
    "boolean": (bool, "true or false"),
    "number": ((int, float), "a number"),
    "duration": (str, "text"),
}
DURATION = re.compile(r"[0-9]+(\.[0-9]{1,9})?s")


@cache
def service_types() -> Table:
    """Return the Admin API's types of a service."""
    found: Table = _json("service_types.json")
    return found


@cache
def annotation_places() -> Mapping[str, list[str]]:
    """Return each annotation that the Admin API lists, with the kinds of resources that may carry it."""
    found: dict[str, list[str]] = _json("annotations.json")
    return found


def problems(value: Any, table: Table, resource: str) -> Iterator[Problem]:
    """Yield what the API refuses: unknown fields, wrong types, missing fields; a warning for an unsupported field."""
    yield from _Checker(table).fields(value, resource, ())


@dataclass(frozen=True, slots=True)
class _Checker:
    table: Table

    def fields(self, value: Any, type_name: str, place: Place) -> Iterator[Problem]:
        known = self.table[type_name]
        if not isinstance(value, dict):
            yield _wrong(place, "a mapping", value)
            return
        for name, inner in value.items():
            if name not in known:
                yield self._unknown(place, str(name), type_name)
                continue
            if known[name].endswith("~"):
                reason = f"Cloud Run does not support {type_name}.{name}"
                yield Problem((*place, name), reason, "Remove it.", Severity.WARNING)
            yield from self._field(inner, known[name], (*place, name))
        for name, kind in known.items():
            if kind.endswith("!") and value.get(name) in (None, ""):
                yield Problem(place, f"{type_name} has no {name}: the API requires it", f"Give {name}.")

    def _field(self, value: Any, kind: str, place: Place) -> Iterator[Problem]:
        match = FIELD_TYPE.fullmatch(kind)
        assert match, kind  # noqa: S101 — a table that this reader does not understand is a fault of ours
        if match["open"] == "[":
            if not isinstance(value, list):
                yield _wrong(place, "a list", value)
                return
            for index, item in enumerate(value):
                yield from self._value(item, match["name"], (*place, index))
        elif match["open"] == "{":
            if not isinstance(value, dict):
                yield _wrong(place, "a mapping", value)
                return
            for name, item in value.items():
                yield from self._value(item, match["name"], (*place, str(name)))
        else:
            yield from self._value(value, match["name"], place)

    def _value(self, value: Any, kind: str, place: Place) -> Iterator[Problem]:
        if kind in self.table:
            yield from self.fields(value, kind, place)
        elif kind.startswith("ENUM:"):
            allowed = kind.removeprefix("ENUM:").split("|")
            if value not in allowed:
                yield Problem(
                    place, f"the API does not know the value {value!r}", f"Write one of: {', '.join(allowed)}."
                )
        elif kind in EXPECTED:
            right, words = EXPECTED[kind]
            if not isinstance(value, right) or (isinstance(value, bool) and right is not bool):
                yield _wrong(place, words, value)
            elif kind == "duration" and not DURATION.fullmatch(str(value)):
                yield Problem(place, f"expected seconds with an s at the end, found {value!r}", "Write such as 3600s.")

    def _unknown(self, place: Place, name: str, type_name: str) -> Problem:
        known = list(self.table[type_name])
        if close := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            fix = f"Write {close[0]}."
        elif owners := [owner for owner, fields in self.table.items() if name in fields]:
            fix = f"Move it: it is a field of {' or '.join(owners[:3])}."
        else:
            fix = f"Remove it; {type_name} has: {', '.join(sorted(known))}."
        return Problem((*place, name), f"{type_name} has no field {name!r}: the API refuses the file", fix)


def _wrong(place: Place, expected: str, value: Any) -> Problem:
    return Problem(place, f"expected {expected}, found {_found(value)}", _fix(expected, value))


def _found(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
    if isinstance(value, dict | list) or value is None:
        return names[type(value)]
    if isinstance(value, date):
        return f"a date ({value})"
    return f"{names.get(type(value), 'a number')} ({json.dumps(value, default=str)})"


def _fix(expected: str, value: Any) -> str:
    if expected == "text" and isinstance(value, bool | int | float):
        return f"Put it into quotes: '{json.dumps(value)}'."
    if expected == "text" and isinstance(value, date):
        return f"Put it into quotes: '{value}'."
    if expected == "a whole number" and str(value).isdigit():
        return f"Remove the quotes: {value}."
    return f"Write {expected}."


def _json(name: str) -> Any:
    return json.loads(files("ops.cloudrun").joinpath(name).read_text(encoding="utf-8"))
