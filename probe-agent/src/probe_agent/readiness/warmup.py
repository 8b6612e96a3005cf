"""The warm-up of a loaded model: the build's prompt cache into its slots, then the warm-up prompts on all of them."""

import asyncio
import http
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Protocol, TypeVar

from probe_agent.errors import OllamaError, RequestRefused
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.prompts import GREETING, ChatPrompt, rounds
from probe_agent.ollama.types import ModelSpec
from probe_agent.prompt_cache.image_manifest import ImageManifest
from probe_agent.prompt_cache.restore import PromptCache
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.states import LoadFailed
from probe_agent.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")


class Patience(Protocol):
    """Waits for an answer as long as the server shows signs of life; raises `ServerUnreachable` when it does not."""

    async def __call__(self, waiting: Awaitable[T]) -> T:
        """Return what was waited for, or raise what it raised."""
        ...


class WarmUp:
    """Warms one model after the other. A prompt that is refused is left out; a runner that breaks is told."""

    def __init__(self, settings: Settings, server: OllamaClient, record: Observed, patience: Patience) -> None:
        self._settings = settings
        self._server = server
        self._record = record
        self._patience = patience
        runtime_dir = Path(settings.runtime_dir) if settings.runtime_dir else None
        self._prompt_cache = PromptCache(runtime_dir, settings.num_parallel)
        self._broke: set[int] = set()

    async def warm(self, pin: ModelSpec) -> LoadFailed | None:
        """Fill every slot: restored ones answer the same prompts at once, which is the proof that the cache serves."""
        image = self._prompt_cache.manifest_of(pin)
        if image is not None:
            restore = self._prompt_cache.restore(image, self._record.stored[pin.name])
            self._record.restored_slots += await self._patience(restore)
        for prompts in rounds(self._prompts(pin, image), self._settings.num_parallel):
            if failure := await self._round(pin, prompts):
                return failure
        return None

    def _prompts(self, pin: ModelSpec, image: ImageManifest | None) -> tuple[ChatPrompt, ...]:
        """Return the operator's prompts for a model, else the build's, else a greeting."""
        given = self._settings.warmup_prompts or (image.prompts if image else ())
        return tuple(prompt for prompt in given if prompt.model in (None, pin.name)) or (GREETING,)

    async def _round(self, pin: ModelSpec, prompts: tuple[ChatPrompt, ...]) -> LoadFailed | None:
        requests = (self._server.chat(pin, prompt, self._settings.startup_timeout_seconds) for prompt in prompts)
        answers = await self._patience(asyncio.gather(*requests, return_exceptions=True))
        self._record.warmup_prompts += len(answers)
        for prompt, answer in zip(prompts, answers, strict=True):
            if isinstance(answer, RequestRefused) and self._is_to_blame(prompt, answer):
                self._record.warmup_refused += 1
                log.warning("a warm-up prompt is left out: %s", answer.reason)
            elif isinstance(answer, OllamaError):
                return LoadFailed(reason=f"warm-up of {pin} failed: {answer.reason}", action=answer.action)
            elif isinstance(answer, BaseException):
                raise answer
        return None

    def _is_to_blame(self, prompt: ChatPrompt, refusal: RequestRefused) -> bool:
        """Whether a prompt is bad and not the runner: Ollama says 500 to both, but a new runner would do better."""
        again = id(prompt) in self._broke
        self._broke.add(id(prompt))
        return again or refusal.status < http.HTTPStatus.INTERNAL_SERVER_ERROR
