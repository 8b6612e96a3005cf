"""Which of the two kinds of document is linted, and what a document is instead."""

from __future__ import annotations

from typing import Any

SERVICE_KIND, SERVICE_GROUP = "Service", "serving.knative.dev/"
CORE_VERSION = "v1"
"""Kubernetes' own apiVersion, whose Service is an address and no container."""
MOST_NAMES = 5


def is_build(value: Any) -> bool:
    """Whether a document is a Cloud Build configuration: it has steps and no kind."""
    return isinstance(value, dict) and "steps" in value and "kind" not in value


def is_service(value: Any) -> bool:
    """Whether a document is meant as a Knative service; its kind may be missing or misspelt, which a rule says."""
    if not isinstance(value, dict):
        return False
    knative = str(value.get("apiVersion")).startswith(SERVICE_GROUP)
    if "kind" not in value:
        return knative or ("spec" in value and "metadata" in value)
    if value["kind"] == SERVICE_KIND:
        return bool(value.get("apiVersion") != CORE_VERSION)
    return knative and str(value["kind"]).lower() == SERVICE_KIND.lower()


def instead(value: Any) -> str:
    """Say what a document is that is neither of the two."""
    if not isinstance(value, dict):
        return f"is a {'list' if isinstance(value, list) else 'single value'}"
    if "kind" in value:
        return f"is of kind {value['kind']!r} ({value.get('apiVersion', 'without apiVersion')})"
    if "services" in value:
        return "is a compose file (top-level services:)"
    names = [str(name) for name in value]
    some = ", ".join([*names[:MOST_NAMES], *(["…"] if len(names) > MOST_NAMES else [])])
    return f"is neither a Knative service nor a Cloud Build configuration (it has {some or 'nothing'})"
