"""Numbers that Cloud Run documents, and the quantities that a service.yaml writes them in."""

from __future__ import annotations

import re
from typing import Any

# Seconds for each of a startup probe's delay, period, timeout and budget; the second with a GPU.
STARTUP_SECONDS, GPU_STARTUP_SECONDS = 600, 1800
# Seconds for delay and budget together, by older pages and the API's own schema.
OLDER_STARTUP_SECONDS = 240
# Seconds for the same fields of other probes (Admin API, Probe).
PROBE_SECONDS = 3600
# The default and the most concurrent requests of an instance (Admin API, RevisionSpec.containerConcurrency).
DEFAULT_CONCURRENCY, MOST_CONCURRENCY = 80, 1000
# The default and the longest request timeout.
DEFAULT_TIMEOUT_SECONDS, MOST_TIMEOUT_SECONDS = 300, 3600
# Containers of one instance (Cloud Run, multiple containers).
MOST_CONTAINERS = 10
# CPU limits of a container, and the GiB of memory that go with each (Cloud Run, configure CPU limits).
CPU_AND_MEMORY = {1.0: (0.125, 4), 2.0: (0.125, 8), 4.0: (2, 16), 6.0: (4, 24), 8.0: (4, 32)}
# The most that all containers of an instance have together, without the larger GPU.
INSTANCE_CPU, INSTANCE_GIB = 8, 32
# What a container gets without limits.
DEFAULT_CPU, DEFAULT_MEMORY = "1", "512Mi"
# The least memory of a container in the second generation execution environment, in GiB.
GEN2_GIB = 0.5
# The least CPU and GiB of an instance with each GPU (Cloud Run, GPU support).
GPU_LEAST = {"nvidia-l4": (4, 16), "nvidia-rtx-pro-6000": (20, 80)}
LARGE_GPU = "nvidia-rtx-pro-6000"
# The node selector that names the GPU, and the resource limit that asks for one.
ACCELERATOR, GPU = "run.googleapis.com/accelerator", "nvidia.com/gpu"
# Variables that the platform sets in every container; PORT is set in the ingress container alone.
RESERVED_VARIABLES = ("K_SERVICE", "K_REVISION", "K_CONFIGURATION")
HIGHEST_PORT = 65535

GIB_OF = {"Ki": 2**-20, "Mi": 2**-10, "Gi": 1.0, "Ti": 2.0**10, "": 2**-30}
GIB_OF |= {"k": 1e3 / 2**30, "M": 1e6 / 2**30, "G": 1e9 / 2**30}


def startup_seconds(*, gpu: bool) -> int:
    """Return the most seconds that a startup probe may take, without its initial delay."""
    return GPU_STARTUP_SECONDS if gpu else STARTUP_SECONDS


def gib(quantity: Any) -> float | None:
    """Read a memory quantity such as 512Mi, in GiB; None if it is not one."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|)", str(quantity))
    return float(match[1]) * GIB_OF[match[2]] if match else None


def cpus(quantity: Any) -> float | None:
    """Read a CPU quantity such as 1 or 500m; None if it is not one."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(m?)", str(quantity))
    return float(match[1]) / (1000 if match[2] else 1) if match else None
