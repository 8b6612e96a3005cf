"""cloudbuild.yaml: valid for the Cloud Build API, and its steps in the right order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from ops.lint.schema import BUILD, api_schema

FILE = Path(__file__).parents[2] / "cloudbuild.yaml"


def build() -> dict[str, Any]:
    """Return the file as it stands."""
    document: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return document


def test_file_is_valid_for_the_cloud_build_api() -> None:
    """The API's own schema accepts every name and type of the file."""
    jsonschema.validate(build(), api_schema(BUILD, "Build"))


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
