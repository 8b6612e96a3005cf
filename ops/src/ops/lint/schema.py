"""The Admin API's and Cloud Build's own schemas, made strict: unknown names are errors.

Both discovery documents ship inside google-api-python-client, so nothing is fetched.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema

from ops.lint.findings import Place, Problem
from ops.lint.values import mapping

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN, BUILD = "run.v1", "cloudbuild.v1"
JSON_NAMES = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
TYPE_NAMES = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "true or false",
    "number": "a number",
}


DURATION = r"^[0-9]+(\.[0-9]{1,9})?s$"
"""A google-duration, as JSON has it."""
SECONDS = {"h": 3600, "m": 60, "s": 1, "": 1}


@cache
def api_schema(document: str, resource: str) -> dict[str, Any]:
    """Return one resource (Service, Build) of a discovery document as JSON Schema in which unknown names are errors."""
    package = importlib.util.find_spec("googleapiclient")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("google-api-python-client is missing: pip install -r ops/requirements.txt")
    directory = Path(package.submodule_search_locations[0], "discovery_cache", "documents")
    schemas = json.loads((directory / f"{document}.json").read_text(encoding="utf-8"))["schemas"]
    definitions = {name: {"title": name, **strict(schema)} for name, schema in schemas.items()}
    return {"$ref": f"#/$defs/{resource}", "$defs": definitions}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn one discovery schema into a strict JSON Schema."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    result: dict[str, Any] = {"description": schema.get("description", "")}
    if schema.get("type") != "any":
        # JSON has no 64-bit numbers, so the API writes them as text; it takes both.
        whole = str(schema.get("format", "")).endswith("int64")
        result["type"] = ["string", "integer"] if whole else schema["type"]
    if schema.get("format") == "google-duration":
        result["pattern"] = DURATION
    if "enum" in schema:
        result["enum"] = schema["enum"]
    if "items" in schema:
        result["items"] = strict(schema["items"])
    if "properties" in schema:
        result["properties"] = {name: strict(child) for name, child in schema["properties"].items()}
        result["additionalProperties"] = False
    if "additionalProperties" in schema:
        result["additionalProperties"] = strict(schema["additionalProperties"])
    return result


@cache
def annotation_places() -> dict[str, str]:
    """Return each annotation that the Admin API lists, with the resources that may carry it, as it says so."""
    text = api_schema(RUN, "Service")["$defs"]["ObjectMeta"]["properties"]["annotations"]["description"]
    return dict(re.findall(r"\* `([\w./-]+)`: ([\w, ]+)", text))


def problems(value: Any, document: str, resource: str) -> Iterator[Problem]:
    """Yield what the API itself would refuse: unknown names, wrong types, names in the wrong place."""
    schema = api_schema(document, resource)
    validator = jsonschema.Draft202012Validator(schema)
    for error in sorted(validator.iter_errors(value), key=lambda error: [str(step) for step in error.absolute_path]):
        place = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            for name in error.instance:
                if name not in error.schema["properties"]:
                    yield _unknown(place, name, error.schema, schema["$defs"])
        elif error.validator == "type":
            wanted = error.validator_value
            expected = TYPE_NAMES[wanted if isinstance(wanted, str) else "integer"]
            yield Problem(place, f"expected {expected}, found {_found(error.instance)}", _type_fix(error))
        elif error.validator == "pattern":
            reason = f"expected seconds with an s at the end, found {error.instance!r}: the API takes no other unit"
            yield Problem(place, reason, _duration_fix(error.instance))
        else:
            yield Problem(place, error.message, "Write one of the values that the API lists.")


def _unknown(place: Place, name: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> Problem:
    title = schema.get("title", "this object")
    known = list(schema["properties"])
    if close := difflib.get_close_matches(str(name), known, n=1, cutoff=0.8):
        fix = f"Write {close[0]}."
    elif owners := [owner for owner, other in definitions.items() if name in other.get("properties", {})]:
        fix = f"Move it: it is a field of {' or '.join(owners[:3])}."
    else:
        fix = f"Remove it; {title} has: {', '.join(sorted(known))}."
    return Problem((*place, str(name)), f"{title} has no field {str(name)!r}: the API refuses the file", fix)


def _found(value: Any) -> str:
    if isinstance(value, dict | list) or value is None:
        return JSON_NAMES[type(value)]
    if isinstance(value, date):
        return f"a date ({value})"
    return f"{JSON_NAMES.get(type(value), 'a number')} ({json.dumps(value, default=str)})"


def _type_fix(error: jsonschema.ValidationError) -> str:
    if mapping(error.schema).get("pattern") == DURATION:
        return _duration_fix(error.instance)
    if error.validator_value == "string" and isinstance(error.instance, bool | int | float):
        return f"Put it into quotes: '{json.dumps(error.instance)}'."
    if error.validator_value == "string" and isinstance(error.instance, date):
        return f"Put it into quotes: '{error.instance}'."
    if error.validator_value == "integer" and str(error.instance).isdigit():
        return f"Leave the quotes away: {error.instance}."
    return "Write a value of that type."


def _duration_fix(found: Any) -> str:
    """Return what to write for a time such as 2h, 1h30m or 7200."""
    parts = re.findall(r"([0-9]+)([hms]?)", str(found).lower())
    if isinstance(found, bool) or not parts or "".join(map("".join, parts)) != str(found).lower().replace(" ", ""):
        return "Write seconds, such as 3600s."
    return f"Write {sum(int(number) * SECONDS[unit] for number, unit in parts)}s."
