"""What an instance costs: from its service.yaml and the list prices, or the operator's own figure."""

import re
from collections.abc import Mapping
from typing import Any

from ops.cloudrun.prices import HOUR_SECONDS, Instance, PriceUnknown, list_prices, usd_per_hour
from ops.loadtest.errors import InputError

UNITS = {
    "": 1 / 2**30,
    "Ki": 2**-20,
    "Mi": 2**-10,
    "Gi": 1.0,
    "Ti": 2.0**10,
    "k": 1e3 / 2**30,
    "M": 1e6 / 2**30,
    "G": 1e9 / 2**30,
}
"""Suffixes of a Kubernetes quantity, in GiB."""


ACCELERATOR, GPU = "run.googleapis.com/accelerator", "nvidia.com/gpu"


def instance(document: Mapping[str, Any]) -> Instance:
    """Return what one instance of a service has, all its containers together.

    Raises:
        InputError: a limit is no quantity.
        PriceUnknown: it has a GPU, and nothing says which.

    """
    template = document["spec"]["template"]
    containers = template["spec"]["containers"]
    limits = [(each.get("resources") or {}).get("limits") or {} for each in containers]
    selector = template["spec"].get("nodeSelector") or {}
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    off = str(annotations.get("run.googleapis.com/gpu-zonal-redundancy-disabled", "false")).lower() == "true"
    gpu = selector.get(ACCELERATOR) if any(GPU in each for each in limits) else None
    if gpu is None and any(GPU in each for each in limits):
        raise PriceUnknown(f"a container asks for {GPU}, but no nodeSelector ({ACCELERATOR}) says which")
    vcpu = sum(_cpu(str(each.get("cpu", "1"))) for each in limits)
    gib = sum(_gib(str(each.get("memory", "512Mi"))) for each in limits)
    return Instance(vcpu, gib, gpu, zonal_redundancy=not off)


def usd_per_second(document: Mapping[str, Any] | None, given: float | None) -> float | None:
    """Return the price of one instance; `given` is by the hour. None: none was given, and there is no service's file.

    Raises:
        InputError: a limit is no quantity.
        PriceUnknown: the service has a GPU that the list prices do not tell; the text says why.

    """
    if given is not None:
        return given / HOUR_SECONDS
    if document is None:
        return None
    prices, wanted = list_prices(), instance(document)
    if wanted.gpu is not None and wanted.gpu not in prices.gpu_second:
        raise PriceUnknown(f"no public price of {wanted.gpu} was found")
    return usd_per_hour(wanted, prices) / HOUR_SECONDS


def _cpu(text: str) -> float:
    try:
        return float(text.removesuffix("m")) / (1000 if text.endswith("m") else 1)
    except ValueError:
        raise InputError(
            f"the service's cpu limit {text!r} is no quantity; give the price with --usd-per-hour"
        ) from None


def _gib(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G)?", text)
    if not match:
        raise InputError(f"the service's memory limit {text!r} is no quantity; give the price with --usd-per-hour")
    return float(match[1]) * UNITS[match[2] or ""]
