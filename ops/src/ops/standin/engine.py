"""The interface between the stand-in and what runs the model: an engine starts runners, a runner serves one model.

Ollama keeps one runner process per loaded model; so does an engine. Everything else (slots, queue,
keep_alive, reload) is the scheduler's business and the same for every engine.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ops.standin.models import ServedModel
from ops.standin.prompt import Prompt


@dataclass(frozen=True)
class LoadOptions:
    """The options that belong to the runner: a change of any restarts it."""

    # Tokens of context per slot, already capped at the trained context.
    num_ctx: int
    num_batch: int | None = None
    num_thread: int | None = None
    shift: bool = True


@dataclass(frozen=True)
class Piece:
    """A part of an answer; the last one has a `done_reason` and the counts."""

    text: str
    done_reason: str | None = None
    prompt_tokens: int = 0
    prompt_ns: int = 0
    tokens: int = 0
    eval_ns: int = 0


@dataclass(frozen=True)
class Memory:
    """Bytes that a loaded model holds: `size` in all, `vram` of them on a GPU."""

    size: int
    vram: int


class Runner(Protocol):
    """One loaded model."""

    memory: Memory

    async def ping(self) -> None:
        """Return when the runner answers; raise RunnerLost when it is dead; hang when it hangs."""

    def complete(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Stream the answer; raise RunnerLost when the runner dies, ApiError when it refuses."""

    async def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """One vector per text, and the number of tokens read; ApiError when the model cannot."""

    async def stop(self) -> None:
        """End the runner, hung or not, and free its memory."""

    def kill(self) -> None:
        """End the runner without notice, as SIGKILL does."""

    def hang(self) -> None:
        """Make the runner stand still as SIGSTOP does."""

    def resume(self) -> None:
        """Let a hung runner go on."""


class Engine(Protocol):
    """Starts runners."""

    async def start(self, model: ServedModel, options: LoadOptions, *, parallel: int) -> Runner:
        """Load `model` into a new runner with `parallel` slots; LoadFailed when that is impossible.

        Cancelling the call ends the half-started runner.
        """
