"""The warm-up of loaded models: the build's prompt cache into their slots, then the warm-up prompts on all of them."""

import asyncio
import http
import logging
from collections.abc import Callable
from pathlib import Path

from probe_agent.errors import OllamaError, RequestRefused
from probe_agent.ollama.client import OllamaClient
from probe_agent.ollama.names import same_model
from probe_agent.ollama.prompts import GREETING, ChatPrompt, rounds
from probe_agent.ollama.types import ModelSpec
from probe_agent.prompt_cache.image_manifest import ImageManifest
from probe_agent.prompt_cache.restore import PromptCache
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.running_models import RunningModels
from probe_agent.readiness.server_health import ServerHealth
from probe_agent.readiness.states import Kind, Observation
from probe_agent.settings import Settings

log = logging.getLogger(__name__)


class WarmUp:
    """Warms one model after the other. A prompt that is refused is left out; a runner that breaks is a failed load."""

    def __init__(
        self,
        settings: Settings,
        server: OllamaClient,
        observed: Observed,
        health: ServerHealth,
        running: RunningModels,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._server = server
        self._observed = observed
        self._health = health
        self._running = running
        self._clock = clock
        runtime_dir = Path(settings.runtime_dir) if settings.runtime_dir else None
        self._prompt_cache = PromptCache(runtime_dir, settings.num_parallel)
        self._broke: set[int] = set()

    async def warm(self) -> Observation:
        """Answer the warm-up prompts on every slot, then check that every model is still loaded as wanted."""
        self._observed.restored_slots = 0
        for spec in self._observed.models:
            # An embedding model is warm after the vector of its proof.
            if not self._observed.embeds(spec) and (failure := await self._warm_one(spec)):
                return failure
        if finding := await self._health.while_alive(self._running.look(self._settings.startup_timeout_seconds)):
            return finding
        self._observed.mark(Phase.WARM_UP, self._clock())
        slots = self._settings.num_parallel
        return Observation(
            kind=Kind.WARM_UP_DONE,
            reason=f"{self._observed.names()} answers; warm on {slots} parallel slot(s)",
            action="Nothing: the model answers.",
        )

    async def _warm_one(self, spec: ModelSpec) -> Observation | None:
        image = self._prompt_cache.manifest_of(spec)
        if image is not None:
            restore = self._prompt_cache.restore(image, self._observed.stored[spec.name])
            self._observed.restored_slots += await self._health.while_alive(restore)
        # The prompts are sent after a restore too: that they are answered at once proves that the cache serves.
        for prompts in rounds(self._prompts(spec, image), self._settings.num_parallel):
            if failure := await self._round(spec, prompts):
                return failure
        return None

    def _prompts(self, spec: ModelSpec, image: ImageManifest | None) -> tuple[ChatPrompt, ...]:
        """Return the operator's prompts for a model, else the build's, else a greeting."""
        given = self._settings.warmup_prompts or (image.prompts if image else ())
        return tuple(each for each in given if each.model is None or same_model(each.model, spec.name)) or (GREETING,)

    async def _round(self, spec: ModelSpec, prompts: tuple[ChatPrompt, ...]) -> Observation | None:
        num_ctx, budget = self._observed.num_ctx(spec), self._settings.startup_timeout_seconds
        requests = (self._server.chat(spec.name, num_ctx, prompt, budget) for prompt in prompts)
        answers = await self._health.while_alive(asyncio.gather(*requests, return_exceptions=True))
        self._observed.warmup_prompts += len(answers)
        for prompt, answer in zip(prompts, answers, strict=True):
            if isinstance(answer, RequestRefused) and self._is_to_blame(prompt, answer):
                self._observed.warmup_refused += 1
                log.warning("a warm-up prompt is left out: %s", answer.reason)
            elif isinstance(answer, OllamaError):
                reason = f"warm-up of {spec} failed: {answer.reason}"
                return Observation(kind=Kind.LOAD_FAILED, reason=reason, action=answer.action)
            elif isinstance(answer, BaseException):
                raise answer
        return None

    def _is_to_blame(self, prompt: ChatPrompt, refusal: RequestRefused) -> bool:
        """Whether a prompt is bad and not the runner: Ollama answers 500 for both, but a new runner would do better."""
        again = id(prompt) in self._broke
        self._broke.add(id(prompt))
        return again or refusal.status < http.HTTPStatus.INTERNAL_SERVER_ERROR
