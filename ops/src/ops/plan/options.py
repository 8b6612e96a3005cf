"""The options of `ops plan`; nothing here is slow to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Group

from ops import kv_cache
from ops.cli import number, option, options, whole

DEVICES = ("nvidia-l4", "nvidia-rtx-pro-6000", "cpu")
MOST_SLOTS, MOST_MODELS = 256, 64
MOST = 10**9
# Of seconds, rates and sizes: beyond any real one, and far from where floats end.
positive = number(1e-9, 1e9)
count = whole(1, MOST)
from_zero = whole(0, MOST)
# llama.cpp takes no more.
slots = whole(1, MOST_SLOTS)
models = whole(1, MOST_MODELS)

INSTANCE = Group("Instance (default: from --write's file, else usual for the device)", sort_key=1)
TRAFFIC = Group("Traffic, for instances, waits and cost", sort_key=2)
START = Group("Start, for the startup probe", sort_key=3)


def device(text: str) -> str:
    """Read a device's name."""
    return _one_of(DEVICES, text)


def kv_type(text: str) -> str:
    """Read the type of a KV cache."""
    return _one_of(kv_cache.DOCUMENTED, text)


def _one_of(known: tuple[str, ...], text: str) -> str:
    if text not in known:
        raise ValueError(f"expected one of {', '.join(known)}, found {text!r}")
    return text


def _format(text: str) -> str:
    return _one_of(("text", "json"), text)


def _measured(text: str) -> tuple[tuple[int, float], ...]:
    pairs = [each.partition(":") for each in text.split(",")]
    return tuple(sorted({slots(each.strip()): positive(seconds) for each, _, seconds in pairs}.items()))


@options
@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked. None: not given; `ops.plan.question` knows what holds then."""

    url: Annotated[
        str | None, option("Ollama to ask for the model by /api/show, such as http://127.0.0.1:11434.", metavar="URL")
    ] = None
    store: Annotated[
        Path | None,
        option("Local store (default: OLLAMA_MODELS, else ~/.ollama/models, else ops up's).", metavar="DIR"),
    ] = None
    gpu: Annotated[
        str | None, option(f"Device: {', '.join(DEVICES)} (default: the first).", device, metavar="DEVICE")
    ] = None
    gpu_memory: Annotated[
        float | None, option("Memory that the GPU reports, GiB (default: the device's).", positive, metavar="GIB")
    ] = None
    context: Annotated[int | None, option("Context of each slot, tokens (default 8192).", count, metavar="TOKENS")] = (
        None
    )
    parallel: Annotated[int | None, option("Slots of each model (default 4).", slots, metavar="N")] = None
    kv_cache_type: Annotated[
        str | None,
        option(
            f"Type of keys and values: {', '.join(kv_cache.DOCUMENTED)} (default: the first).", kv_type, metavar="TYPE"
        ),
    ] = None
    models: Annotated[int | None, option("Such models loaded at once (default 1).", models, metavar="N")] = None
    ideal_batch: Annotated[
        int | None, option("Requests that a model works on best at once (default: its slots).", count, metavar="N")
    ] = None
    batch: Annotated[
        int | None, option("num_batch, where the model pins it, tokens (default: Ollama's).", count, metavar="TOKENS")
    ] = None
    flash_attention: Annotated[
        bool | None, option("OLLAMA_FLASH_ATTENTION (default: on).", negative="--no-flash-attention")
    ] = None
    swa_full: Annotated[
        bool | None,
        option("Windows kept in full, LLAMA_ARG_SWA_FULL (default: off).", negative="--no-swa-full"),
    ] = None
    write: Annotated[
        Path | None,
        option("service.yaml to put the settings into; what no option names is read from it.", metavar="FILE"),
    ] = None
    format: Annotated[str, option("Output for people (text) or programs (json).", _format, metavar="FORMAT")] = "text"

    cpu: Annotated[float | None, option("CPUs of all containers together.", positive, metavar="N", group=INSTANCE)] = (
        None
    )
    memory: Annotated[
        float | None, option("Memory of all containers together, GiB.", positive, metavar="GIB", group=INSTANCE)
    ] = None
    prompt_cache: Annotated[
        int | None,
        option(
            "Prompt cache of each model in the host's memory, LLAMA_ARG_CACHE_RAM, MiB (default 2048).",
            from_zero,
            metavar="MIB",
            group=INSTANCE,
        ),
    ] = None
    zonal_redundancy: Annotated[
        bool | None,
        option("Zonal redundancy of the GPU, dearer (default: off).", negative="--no-zonal-redundancy", group=INSTANCE),
    ] = None
    gpu_price: Annotated[
        float | None,
        option("Price of the GPU, US$ per second (default: the list's).", positive, metavar="USD", group=INSTANCE),
    ] = None

    rate: Annotated[float | None, option("Requests per second.", positive, metavar="R", group=TRAFFIC)] = None
    seconds: Annotated[
        float | None,
        option("Seconds of one request in its slot, all slots busy, measured.", positive, metavar="S", group=TRAFFIC),
    ] = None
    measured: Annotated[
        tuple[tuple[int, float], ...],
        option(
            "Load test's slots and seconds per request with all of them busy, such as 1:2.1,2:2.9,4:4.6.",
            _measured,
            metavar="N:S,...",
            group=TRAFFIC,
        ),
    ] = ()
    tokens: Annotated[int | None, option("Tokens per answer.", count, metavar="N", group=TRAFFIC)] = None
    min_instances: Annotated[int | None, option("minScale (default 0).", from_zero, metavar="N", group=TRAFFIC)] = None
    max_instances: Annotated[
        int | None, option("maxScale (default 3: a region's GPU quota).", count, metavar="N", group=TRAFFIC)
    ] = None

    load_rate: Annotated[
        float | None, option("Megabytes of weights read per second.", positive, metavar="MB", group=START)
    ] = None
    status: Annotated[
        str | None,
        option("Agent to ask for its measured load, such as http://127.0.0.1:9090.", metavar="URL", group=START),
    ] = None
    around_seconds: Annotated[
        float | None,
        option("Seconds of a start beside the load (default 20, or as measured).", positive, metavar="S", group=START),
    ] = None
    margin: Annotated[
        float, option("Factor on the usual start, at least 1.", number(1, 1e9), metavar="X", group=START)
    ] = 2.0
