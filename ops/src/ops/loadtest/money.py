"""What an instance costs: from its service.yaml and the list prices, or the operator's own figure."""

from collections.abc import Callable, Mapping
from typing import Any

from ops.cloudrun.limits import ACCELERATOR, DEFAULT_CPU, DEFAULT_MEMORY, GPU, cpus, gib
from ops.cloudrun.prices import HOUR_SECONDS, Instance, PriceUnknown, list_prices, usd_per_hour
from ops.loadtest.errors import InputError


def instance(document: Mapping[str, Any]) -> Instance:
    """Return what one instance of a service has, all its containers together.

    Raises:
        InputError: a limit is not a quantity.
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
    vcpu = sum(_read(cpus, "cpu", each.get("cpu", DEFAULT_CPU)) for each in limits)
    memory = sum(_read(gib, "memory", each.get("memory", DEFAULT_MEMORY)) for each in limits)
    return Instance(vcpu, memory, gpu, zonal_redundancy=not off)


def usd_per_second(document: Mapping[str, Any] | None, given: float | None) -> float | None:
    """Return the price of one instance; `given` is by the hour. None: none was given, and there is no service's file.

    Raises:
        InputError: a limit is not a quantity.
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


def _read(read: Callable[[Any], float | None], name: str, quantity: Any) -> float:
    found = read(quantity)
    if found is None:
        raise InputError(
            f"the service's {name} limit {quantity!r} is not a quantity; give the price with --usd-per-hour"
        )
    return found
