"""An engine without a model: what it does, and how long it takes, is written in its attributes.

All attributes may be changed while it runs, from any thread: a scripted runner looks at them every few
milliseconds instead of waiting on something that belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from ops.standin.engine import LoadOptions, Memory, Piece
from ops.standin.errors import ApiError, LoadFailed, RunnerLost
from ops.standin.models import ServedModel
from ops.standin.prompt import Prompt

_LOOK_SECONDS = 0.002


class Start(NamedTuple):
    """One load that was begun: the model's name and its options."""

    model: str
    options: LoadOptions


class ScriptedEngine:
    """An engine in this process, with times and failures as told."""

    def __init__(
        self,
        *,
        load_seconds: float = 0.0,
        reply: str = "The model answers.",
        token_seconds: float = 0.0,
        memory_bytes: int = 200_000_000,
        vram_fraction: float = 0.0,
    ) -> None:
        self.load_seconds = load_seconds
        # Answer to everything; each word is a token.
        self.reply = reply
        # Seconds before each token.
        self.token_seconds = token_seconds
        self.memory_bytes = memory_bytes
        # Share of the memory that is on the GPU: 0 is a machine without one.
        self.vram_fraction = vram_fraction
        # Raised at the end of a load instead of success.
        self.load_error: ApiError | None = None
        # Raised by a loaded runner instead of a first token.
        self.complete_error: ApiError | None = None
        # Every load that was begun, in order.
        self.starts: list[Start] = []

    async def start(self, model: ServedModel, options: LoadOptions, *, parallel: int) -> ScriptedRunner:
        """Load for `load_seconds`; LoadFailed or `load_error` where the script says so."""
        self.starts.append(Start(model.name, options))
        runner = ScriptedRunner(self, options, parallel)
        begun = time.monotonic()
        while time.monotonic() - begun < self.load_seconds:
            await runner.go_on(_LOOK_SECONDS)
        if self.load_error is not None:
            raise self.load_error
        return runner


class ScriptedRunner:
    """One loaded scripted model."""

    def __init__(self, engine: ScriptedEngine, options: LoadOptions, parallel: int) -> None:
        self._engine = engine
        self._num_ctx = options.num_ctx
        self._dead = self._hung = False
        self.parallel = parallel
        self.memory = Memory(engine.memory_bytes, int(engine.memory_bytes * engine.vram_fraction))

    def kill(self) -> None:
        """Die: whoever asks or is being answered sees a lost runner."""
        self._dead = True

    def hang(self) -> None:
        """Stand still until `resume`, `kill` or `stop`."""
        self._hung = True

    def resume(self) -> None:
        """Go on."""
        self._hung = False

    async def stop(self) -> None:
        """End at once, hung or not."""
        self._dead = True

    async def go_on(self, seconds: float) -> None:
        """Let `seconds` pass; raise RunnerLost when dead, wait while hung."""
        end = time.monotonic() + seconds
        while True:
            if self._dead:
                raise RunnerLost
            if not self._hung and time.monotonic() >= end:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def ping(self) -> None:
        """Answer, unless dead or hung."""
        await self.go_on(0)

    async def complete(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Answer with the engine's reply, one word a token, at most options.num_predict of them."""
        if self._engine.complete_error is not None:
            raise self._engine.complete_error
        asked = self._fit(prompt)
        words = self._engine.reply.split()
        limit = int(prompt.options.get("num_predict", -1))
        answer = words if limit < 0 else words[:limit]
        begun = time.monotonic_ns()
        for number, word in enumerate(answer):
            await self.go_on(self._engine.token_seconds)
            yield Piece(word if number == 0 else f" {word}")
        await self.go_on(0)
        reason = "stop" if len(answer) == len(words) else "length"
        spent = time.monotonic_ns() - begun
        yield Piece("", reason, prompt_tokens=asked, prompt_ns=1, tokens=len(answer), eval_ns=spent)

    async def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Vectors that depend on the text alone."""
        await self.go_on(0)
        vectors = [[byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]
        return vectors, sum(len(text.split()) for text in texts)

    def _fit(self, prompt: Prompt) -> int:
        texts = [str(message.get("content", "")) for message in prompt.messages] or [prompt.text]
        tokens = sum(len(text.split()) for text in texts)
        if tokens > self._num_ctx and not prompt.truncate:
            raise ApiError(400, "the input length exceeds the context length")
        return min(tokens, self._num_ctx)


__all__ = ["LoadFailed", "ScriptedEngine", "ScriptedRunner", "Start"]
