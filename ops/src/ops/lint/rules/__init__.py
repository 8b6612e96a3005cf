"""The rules, one module for each topic; importing this package registers all of them."""

from ops.lint.registry import RULES
from ops.lint.rules import agreement, capacity, dependencies, probes, resources, revision, startup, volumes

__all__ = ["RULES", "agreement", "capacity", "dependencies", "probes", "resources", "revision", "startup", "volumes"]
