"""The values that Cloud Run's annotations take."""

import re

_BOOLEANS = (
    "cpu-throttling",
    "default-url-disabled",
    "gpu-zonal-redundancy-disabled",
    "health-check-disabled",
    "iap-enabled",
    "invoker-iam-disabled",
    "sessionAffinity",
    "startup-cpu-boost",
)
_COUNTS: tuple[str, ...] = (
    "run.googleapis.com/minScale",
    "run.googleapis.com/maxScale",
    "run.googleapis.com/manualInstanceCount",
)
_COUNTS += ("autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale")
_WORDS = {
    "execution-environment": ("gen1", "gen2"),
    "ingress": ("all", "internal", "internal-and-cloud-load-balancing"),
    "launch-stage": ("UNIMPLEMENTED", "PRELAUNCH", "EARLY_ACCESS", "ALPHA", "BETA", "GA", "DEPRECATED"),
    "scalingMode": ("automatic", "manual"),
    "vpc-access-egress": ("all-traffic", "private-ranges-only"),
}
# The words that an annotation may hold.
WORDS: dict[str, tuple[str, ...]] = {f"run.googleapis.com/{name}": words for name, words in _WORDS.items()}
WORDS |= {f"run.googleapis.com/{name}": ("true", "false") for name in _BOOLEANS}
# Annotations that an exported service carries, beside those that the Admin API lists.
EXPORTED = ("client-version", "iap-enabled", "ingress-status", "operation-id", "scaling-cpu-target", "urls")


def expected(name: str, value: str) -> str:
    """Return what an annotation takes if it does not take `value`; an empty text if it does or is not known."""
    words = WORDS.get(name)
    if words and value not in words and not (words == ("true", "false") and value.lower() in words):
        return f"one of: {', '.join(words)}"
    if name in _COUNTS and not re.fullmatch("[0-9]+", value):
        return "a whole number"
    return ""
