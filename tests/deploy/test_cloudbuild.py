"""cloudbuild.yaml: valid for the Cloud Build API, and its steps in the right order."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import yaml

FILE = Path(__file__).parents[2] / "cloudbuild.yaml"


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn one discovery schema into a JSON Schema in which unknown names are errors."""
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    result: dict[str, Any] = {name: schema[name] for name in ("type", "enum") if name in schema}
    if result.get("type") == "any":
        del result["type"]
    if "items" in schema:
        result["items"] = strict(schema["items"])
    if "properties" in schema:
        result["properties"] = {name: strict(child) for name, child in schema["properties"].items()}
        result["additionalProperties"] = False
    if "additionalProperties" in schema:
        result["additionalProperties"] = strict(schema["additionalProperties"])
    return result


def build() -> dict[str, Any]:
    """Return the file as it stands."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def test_file_is_valid_for_the_cloud_build_api() -> None:
    """The API's own schema accepts every name and type of the file."""
    package = importlib.util.find_spec("googleapiclient")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0], "discovery_cache", "documents")
    schemas = json.loads((folder / "cloudbuild.v1.json").read_text())["schemas"]
    defs = {name: strict(schema) for name, schema in schemas.items()}
    jsonschema.validate(build(), {"$ref": "#/$defs/Build", "$defs": defs})


def test_machine_is_large_enough() -> None:
    """The machine, the disk and the time are those that a model of many gigabytes needs."""
    options = build()["options"]
    assert (options["machineType"], options["diskSizeGb"]) == ("E2_HIGHCPU_32", "500")
    assert int(build()["timeout"].rstrip("s")) > 3600


def test_each_step_waits_for_what_it_needs() -> None:
    """Lint comes first, both builds run side by side, and nothing is deployed before smoke, digests and a dry run."""
    waits = {step["id"]: step["waitFor"] for step in build()["steps"]}
    assert waits == {
        "lint": ["-"],
        "builder": ["lint"],
        "build-ollama": ["builder"],
        "build-agent": ["builder"],
        "smoke": ["build-ollama", "build-agent"],
        "pin": ["smoke"],
        "dry-run": ["pin"],
        "deploy": ["dry-run"],
    }
