"""The options of `ops plan`; nothing here is slow to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from ops import kv_cache

DEVICES = ("nvidia-l4", "nvidia-rtx-pro-6000", "cpu")
MOST_SLOTS, MOST_MODELS = 256, 64
LEAST_NUMBER, MOST_NUMBER = 1e-9, 1e9
"""Of seconds, rates and sizes: beyond any real one, and far from where floats end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `ops plan` takes. What is None was not given: `ops.plan.question` knows what holds then."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a GGUF file, or a model of the local Ollama store")
    add("--url", help="ask the Ollama that listens there instead (its /api/show): http://127.0.0.1:11434")
    add(
        "--store",
        type=Path,
        metavar="DIR",
        help="the local store (OLLAMA_MODELS, else ~/.ollama/models, else ops up's)",
    )
    add("--gpu", type=device, metavar="DEVICE", help=f"{', '.join(DEVICES)} (the first)")
    add("--gpu-memory", type=_positive, metavar="GIB", help="what the GPU reports, where you know better")
    add("--context", type=count, metavar="TOKENS", help="of each slot (8192)")
    add("--parallel", type=slots, metavar="N", help="slots of each model (4)")
    add(
        "--kv-cache-type",
        type=kv_type,
        metavar="TYPE",
        help=f"of keys and values: {', '.join(kv_cache.DOCUMENTED)} (the first)",
    )
    add("--models", type=models, metavar="N", help="such models loaded at once (1)")
    add("--ideal-batch", type=count, metavar="N", help="requests that a model works on best at once (its slots)")
    add("--batch", type=count, metavar="TOKENS", help="num_batch, where the model pins it (Ollama's choice)")
    add("--flash-attention", action=argparse.BooleanOptionalAction, help="OLLAMA_FLASH_ATTENTION (on)")
    add("--swa-full", action=argparse.BooleanOptionalAction, help="windows kept in full: LLAMA_ARG_SWA_FULL (off)")
    _instance(parser.add_argument_group("the instance (of --write's file, else the device's usual)"))
    _traffic(parser.add_argument_group("traffic, for instances, waits and cost"))
    _start(parser.add_argument_group("the start, for the startup probe"))
    add(
        "--write",
        type=Path,
        metavar="FILE",
        help="put the settings into this service.yaml; what no option names is taken from it",
    )
    add("--format", choices=["text", "json"], default="text", help="for people, or for programs (%(default)s)")


def _instance(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--cpu", type=_positive, metavar="N", help="of all containers together")
    add("--memory", type=_positive, metavar="GIB", help="of all containers together")
    add(
        "--prompt-cache",
        type=whole,
        metavar="MIB",
        help="of each model, in the host's memory: LLAMA_ARG_CACHE_RAM (2048)",
    )
    add("--zonal-redundancy", action=argparse.BooleanOptionalAction, help="of the GPU: dearer (off)")
    add("--gpu-price", type=_positive, metavar="USD", help="of the GPU for a second, where no list price was found")


def _traffic(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--rate", type=_positive, metavar="R", help="requests a second")
    add("--seconds", type=_positive, metavar="S", help="that one takes in its slot, all slots busy: measure it")
    add(
        "--measured",
        type=_measured,
        default=(),
        metavar="N:S,…",
        help="by a load test: slots, and seconds of a request with all of them busy: 1:2.1,2:2.9,4:4.6",
    )
    add("--tokens", type=count, metavar="N", help="of an answer")
    add("--min-instances", type=whole, metavar="N", help="minScale (0)")
    add("--max-instances", type=count, metavar="N", help="maxScale (3: the GPU quota of a region)")


def _start(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--load-rate", type=_positive, metavar="MB", help="megabytes of weights a second, from where they lie")
    add("--status", metavar="URL", help="measured: the load of the agent that listens there, http://127.0.0.1:9090")
    add("--around-seconds", type=_positive, metavar="S", help="of a start, beside the load (20, or as measured)")
    add("--margin", type=_margin, default=2.0, metavar="X", help="times the usual start (%(default)s)")


def count(text: str) -> int:
    """Read a whole number from 1 on; `argparse.ArgumentTypeError` for anything else, here and below."""
    if not text.isdecimal() or not 0 < int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def _measured(text: str) -> tuple[tuple[int, float], ...]:
    pairs = [each.partition(":") for each in text.split(",")]
    return tuple(sorted({slots(each.strip()): _positive(seconds) for each, _, seconds in pairs}.items()))


def slots(text: str) -> int:
    """Read a number of slots, as many as llama.cpp takes."""
    if (found := count(text)) > MOST_SLOTS:
        raise argparse.ArgumentTypeError(f"llama.cpp takes at most {MOST_SLOTS} slots, found {text!r}")
    return found


def models(text: str) -> int:
    """Read a number of models."""
    if (found := count(text)) > MOST_MODELS:
        raise argparse.ArgumentTypeError(
            f"more than {MOST_MODELS} models in one instance are not planned, found {text!r}"
        )
    return found


def device(text: str) -> str:
    """Read a device's name."""
    if text not in DEVICES:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(DEVICES)}, found {text!r}")
    return text


def kv_type(text: str) -> str:
    """Read the type of a KV cache."""
    if text not in kv_cache.DOCUMENTED:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(kv_cache.DOCUMENTED)}, found {text!r}")
    return text


def whole(text: str) -> int:
    """Read a whole number from 0 on."""
    if not text.isdecimal() or int(text) > 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, found {text!r}")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LEAST_NUMBER <= value <= MOST_NUMBER:
        raise argparse.ArgumentTypeError(f"expected a number from {LEAST_NUMBER:g} to {MOST_NUMBER:g}, found {text!r}")
    return value


def _margin(text: str) -> float:
    value = _positive(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"a margin below 1 gives up on usual starts; found {text!r}")
    return value
