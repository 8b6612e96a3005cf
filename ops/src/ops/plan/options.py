"""The options of `ops plan`; nothing here is slow to import."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

DEVICES = ("nvidia-l4", "nvidia-rtx-pro-6000", "cpu")
KV_TYPES = ("f16", "q8_0", "q4_0")
MOST_SLOTS, MOST_MODELS = 256, 64
DEFAULT_CONTEXT, DEFAULT_PROMPT_CACHE_MIB = 8192, 2048


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `ops plan` takes."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="a GGUF file, or a model of the local Ollama store")
    add("--url", help="ask the Ollama that listens there instead (its /api/show): http://127.0.0.1:11434")
    add(
        "--store",
        type=Path,
        metavar="DIR",
        help="the local store (OLLAMA_MODELS, else ~/.ollama/models, else ops up's)",
    )
    add("--gpu", choices=DEVICES, default=DEVICES[0], help="the device (%(default)s)")
    add("--gpu-memory", type=_positive, metavar="GIB", help="what the GPU reports, where you know better")
    add("--context", type=_count, default=DEFAULT_CONTEXT, metavar="TOKENS", help="of each slot (%(default)s)")
    add("--parallel", type=_slots, default=4, metavar="N", help="slots of each model (%(default)s)")
    add("--kv-cache-type", choices=KV_TYPES, default=KV_TYPES[0], help="of keys and values (%(default)s)")
    add("--models", type=_models, default=1, metavar="N", help="such models loaded at once (%(default)s)")
    add("--ideal-batch", type=_count, metavar="N", help="requests that a model works on best at once (its slots)")
    add("--batch", type=_count, metavar="TOKENS", help="num_batch, where the model pins it (Ollama's choice)")
    add("--no-flash-attention", action="store_true", help="as with OLLAMA_FLASH_ATTENTION=0")
    add("--swa-full", action="store_true", help="windows kept in full, LLAMA_ARG_SWA_FULL=1 (as in --write's file)")
    _instance(parser.add_argument_group("the instance (of --write's file, else the device's usual)"))
    _traffic(parser.add_argument_group("traffic, for instances, waits and cost"))
    _start(parser.add_argument_group("the start, for the startup probe"))
    add("--write", type=Path, metavar="FILE", help="put the settings into this service.yaml; its comments stay")
    add("--format", choices=["text", "json"], default="text", help="for people, or for programs (%(default)s)")


def _instance(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--cpu", type=_positive, metavar="N", help="of all containers together")
    add("--memory", type=_positive, metavar="GIB", help="of all containers together")
    add("--prompt-cache", type=_whole, metavar="MIB", help="LLAMA_ARG_CACHE_RAM (2048); counts with --gpu cpu")
    add("--zonal-redundancy", action="store_true", help="of the GPU: dearer")
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
    add("--tokens", type=_count, metavar="N", help="of an answer")
    add("--min-instances", type=_whole, default=0, metavar="N", help="minScale (%(default)s)")
    add(
        "--max-instances", type=_count, default=3, metavar="N", help="maxScale (%(default)s: the GPU quota of a region)"
    )


def _start(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--load-rate", type=_positive, metavar="MB", help="megabytes of weights a second, from where they lie")
    add("--status", metavar="URL", help="measured: the load of the agent that listens there, http://127.0.0.1:9090")
    add("--around-seconds", type=_positive, metavar="S", help="of a start, beside the load (20, or as measured)")
    add("--margin", type=_margin, default=2.0, metavar="X", help="times the usual start (%(default)s)")


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def _measured(text: str) -> tuple[tuple[int, float], ...]:
    pairs = [each.partition(":") for each in text.split(",")]
    return tuple(sorted({_slots(slots.strip()): _positive(seconds) for slots, _, seconds in pairs}.items()))


def _slots(text: str) -> int:
    if (count := _count(text)) > MOST_SLOTS:
        raise argparse.ArgumentTypeError(f"llama.cpp takes at most {MOST_SLOTS} slots, found {text!r}")
    return count


def _models(text: str) -> int:
    if (count := _count(text)) > MOST_MODELS:
        raise argparse.ArgumentTypeError(
            f"more than {MOST_MODELS} models in one instance are not planned, found {text!r}"
        )
    return count


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) > 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, found {text!r}")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, found {text!r}")
    return value


def _margin(text: str) -> float:
    value = _positive(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"a margin below 1 gives up on usual starts; found {text!r}")
    return value
