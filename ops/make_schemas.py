"""Extract the tables of types that `ops lint` and the tests use from Google's API descriptions. `make schemas`.

The descriptions ship in google-api-python-client (111 MB), which only this needs: run it where that is installed.

A table names each type's fields. A field's type is text: string, integer, int64, boolean, number, duration, any, the
name of another type, or ENUM:ONE|TWO; [T] is a list of T, {T} a mapping to T; ! behind it marks a required field, ~ one
that the API describes as not supported.
"""  # noqa: INP001 — a script beside the package: its users do not need it

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import googleapiclient

DOCUMENTS = Path(googleapiclient.__path__[0], "discovery_cache", "documents")
ROOT = Path(__file__).parents[1]
# Filled by the platform, never by a file that is deployed.
OUTPUT_ONLY = {"ServiceStatus"}
# Described as required, and filled by gcloud.
FILLED = {"namespace"}
REQUIRED, UNSUPPORTED = re.compile("Required[.:]"), re.compile("Not supported (?:by|in) Cloud Run")


def field_type(schema: dict[str, Any]) -> str:
    """Return a field's type in the table's notation."""
    if "$ref" in schema:
        return "any" if schema["$ref"] in OUTPUT_ONLY else str(schema["$ref"])
    if "enum" in schema:
        return f"ENUM:{'|'.join(schema['enum'])}"
    if "items" in schema:
        return f"[{field_type(schema['items'])}]"
    if "additionalProperties" in schema:
        return f"{{{field_type(schema['additionalProperties'])}}}"
    formats = {"int64": "int64", "uint64": "int64", "google-duration": "duration"}
    kind = formats.get(schema.get("format", ""), str(schema.get("type", "any")))
    return "any" if kind in ("object", "array") else kind


def marked(field: str, schema: dict[str, Any]) -> str:
    """Return a field's type with what its description says about it."""
    description = str(schema.get("description", ""))
    required = REQUIRED.match(description) and field not in FILLED
    mark = "~" if UNSUPPORTED.search(description) else "!" if required else ""
    return field_type(schema) + mark


def table(document: str, resource: str) -> dict[str, dict[str, str]]:
    """Return the table of a resource and every type that it uses."""
    schemas = json.loads((DOCUMENTS / f"{document}.json").read_text(encoding="utf-8"))["schemas"]
    found: dict[str, dict[str, str]] = {}
    waiting = [resource]
    while waiting:
        if (name := waiting.pop()) not in found:
            fields = schemas[name].get("properties", {})
            found[name] = {field: marked(field, schema) for field, schema in fields.items()}
            waiting += [used for kind in found[name].values() for used in re.findall(r"\w+", kind) if used in schemas]
    return dict(sorted(found.items()))


def annotations(document: str) -> dict[str, list[str]]:
    """Return each annotation that the API lists, with the kinds of resources that may carry it."""
    schemas = json.loads((DOCUMENTS / f"{document}.json").read_text(encoding="utf-8"))["schemas"]
    text = schemas["ObjectMeta"]["properties"]["annotations"]["description"]
    return {name: re.findall(r"\w+", places) for name, places in re.findall(r"\* `([\w./-]+)`: ([\w, ]+)", text)}


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a table, one line for each type."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    rooms = ROOT / "ops" / "src" / "ops" / "cloudrun"
    write(rooms / "service_types.json", table("run.v1", "Service"))
    write(rooms / "annotations.json", annotations("run.v1"))
    write(ROOT / "tests" / "deploy" / "cloudbuild_types.json", table("cloudbuild.v1", "Build"))
