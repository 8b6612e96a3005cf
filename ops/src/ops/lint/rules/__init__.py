"""The rules, a module for each topic; importing one registers its rules."""

from __future__ import annotations

import importlib

TOPICS = ("structure", "probes", "startup", "capacity", "agreement", "resources", "dependencies", "volumes", "revision")


def load_all() -> None:
    """Register every rule, in the order of the topics."""
    for topic in TOPICS:
        importlib.import_module(f"{__name__}.{topic}")
