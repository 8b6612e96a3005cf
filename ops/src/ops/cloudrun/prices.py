"""What an instance costs by the hour, and a million tokens with it; prices are in prices.toml alone."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from importlib.resources import files
from typing import Any

HOUR_SECONDS = 3600
MILLION = 1_000_000


class PriceUnknown(Exception):
    """No price of this GPU was found; the text says how to give one."""


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars a second, as read on a day in a region."""

    read: date
    region: str
    vcpu_second: float
    gib_second: float
    # By the GPU, then by whether its zonal redundancy is on.
    gpu_second: Mapping[str, Mapping[bool, float]]
    sources: Mapping[str, str]

    def with_gpu(self, gpu: str, usd_per_second: float) -> Prices:
        """Return the same prices, but for one GPU that the operator has named a price for."""
        return replace(self, gpu_second={**self.gpu_second, gpu: {True: usd_per_second, False: usd_per_second}})


@dataclass(frozen=True, slots=True)
class Instance:
    """What one instance has, all containers together; `gpu` is the accelerator's name, or None."""

    vcpu: float
    gib: float
    gpu: str | None = None
    zonal_redundancy: bool = False


def list_prices() -> Prices:
    """Return the prices of prices.toml."""
    raw: dict[str, Any] = tomllib.loads(files("ops.cloudrun").joinpath("prices.toml").read_text(encoding="utf-8"))
    gpus = {
        name: {True: each["with_zonal_redundancy"], False: each["without_zonal_redundancy"]}
        for name, each in raw["gpu_second"].items()
    }
    return Prices(raw["read"], raw["region"], raw["vcpu_second"], raw["gib_second"], gpus, raw["sources"])


def usd_per_hour(instance: Instance, prices: Prices) -> float:
    """Return what the instance costs while it is up: instance-based billing does not ask whether it serves.

    Raises:
        PriceUnknown: it has a GPU without a price.

    """
    second = instance.vcpu * prices.vcpu_second + instance.gib * prices.gib_second
    if instance.gpu is not None:
        if instance.gpu not in prices.gpu_second:
            raise PriceUnknown(
                f"no public price of {instance.gpu} was found; give yours with --gpu-price USD_PER_SECOND"
            )
        second += prices.gpu_second[instance.gpu][instance.zonal_redundancy]
    return second * HOUR_SECONDS


def usd_per_million_tokens(usd_hour: float, tokens_per_second: float) -> float:
    """Return what a million tokens cost where `tokens_per_second` are made in all, idle time and starts included."""
    return usd_hour / (tokens_per_second * HOUR_SECONDS) * MILLION
