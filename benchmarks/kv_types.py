"""What each KV cache type costs in quality, and saves in memory: next tokens along one text, against those of f16."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from benchmarks import gemma
from lab.measuring import llama_server
from lab.measuring.precondition import real_ollama
from lab.measuring.result import Result
from ops import kv_cache, smollm2
from ops.up import runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "kv_types"
TEXT = Path(__file__).parents[1] / "docs" / "adr"
"""The decisions, in their order: prose that does not change once it is written."""
CONTEXT, QUICK_CONTEXT, FIRST, STEP = 2048, 512, 256, 32
CANDIDATES = 64
"""The most likely tokens of which probabilities are asked for."""
SECONDS = 60.0
"""For one token after a prefix that is mostly in the cache: it takes some hundredths of a second."""
METHOD = (
    f"One slot of {CONTEXT} tokens on the CPU. The text is docs/adr, as far as it fits. Each {STEP}th token from the "
    f"{FIRST}th on is asked for at temperature 0, the text up to there being the prompt; the KV cache "
    "holds all of it. 'same_token': the share of places where the most likely token is that of f16. 'logprob_change': "
    "of f16's most likely token, the mean absolute difference, natural logarithm; where it is no longer among the "
    f"{CANDIDATES} most likely ones, the least likely of them stands for it. Small models: others lose less or more."
)


class Next(NamedTuple):
    """The most likely tokens at one place, with the natural logarithm of each one's probability."""

    logprobs: dict[int, float]

    @property
    def token(self) -> int:
        """The most likely one."""
        return max(self.logprobs, key=self.logprobs.__getitem__)


def run(folder: Path, *, quick: bool) -> Result:  # noqa: ARG001 — as the others are called
    """Ask each model with each type; raises `NotHereError` where there is no llama-server."""
    binary = real_ollama()
    more, left_out = gemma.where_there(quick=quick)
    files = {smollm2.NAME: smollm2.gguf_path(), **more}
    context = QUICK_CONTEXT if quick else CONTEXT
    measured: dict[str, Any] = {name: _compared(path, context) for name, path in files.items()}
    if left_out:
        measured[f"{gemma.NAME}_left_out"] = left_out
    return Result(
        name=NAME,
        server=runtime.ollama(binary).description.partition(" (/")[0],
        method=METHOD,
        targets=(),
        measured=measured,
    )


def _compared(model: Path, context: int) -> dict[str, Any]:
    found, sizes = {}, {}
    for kv_type in kv_cache.DOCUMENTED:
        flags = ["-c", str(context), "-np", "1", "-b", "512", "-ub", "512"]
        flags += ["--cache-type-k", kv_type, "--cache-type-v", kv_type]
        with llama_server.serving(model, flags) as (url, server), httpx.Client(base_url=url, timeout=SECONDS) as http:
            sizes[kv_type] = llama_server.parse(line.text for line in server.lines).cache_mib
            found[kv_type] = list(_along(http, context))
    reference = found[kv_cache.REFERENCE]
    return {
        kv_type: {
            "cache_mib": sizes[kv_type],
            "places": len(places),
            "same_token": statistics.fmean(own.token == first.token for own, first in pairs),
            "logprob_change": statistics.fmean(change(own, first) for own, first in pairs),
        }
        for kv_type, places in found.items()
        for pairs in [list(zip(places, reference, strict=True))]
    }


def change(own: Next, reference: Next) -> float:
    """Return by how much the reference's most likely token has become more or less likely, natural logarithm."""
    token = reference.token
    return abs(own.logprobs.get(token, min(own.logprobs.values())) - reference.logprobs[token])


def _along(http: httpx.Client, context: int) -> Iterator[Next]:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(TEXT.glob("*.md")))
    tokens: list[int] = http.post("/tokenize", json={"content": text, "add_special": True}).json()["tokens"]
    for end in range(FIRST, min(len(tokens), context - 1), STEP):
        asked = {"prompt": tokens[:end], "n_predict": 1, "temperature": 0, "n_probs": CANDIDATES, "cache_prompt": True}
        answer = http.post("/completion", json=asked)
        answer.raise_for_status()
        (place,) = answer.json()["completion_probabilities"]
        likely = {each["id"]: float(each["logprob"]) for each in place["top_logprobs"]}
        yield Next({token: logprob for token, logprob in likely.items() if math.isfinite(logprob)})
