"""`/models/manifest.json`: what the build put into the image. Written at build, read by the agent; pure.

The prompt cache is only good with the runner's flags that it was made with (R19), so they are in here too.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from probe_agent.errors import ManifestRefused
from probe_agent.warmup import ChatPrompt, as_prompt

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCacheFile:
    """One slot's saved state: the file's name under `prompt-cache/`, its size, and what it holds.

    `prompt` is the number of the warm-up prompt, from 0; `tokens` is how many of its tokens are in the file.
    """

    file: str
    size_bytes: int
    sha256: str
    prompt: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageManifest:
    """What the image holds. Sizes are bytes, contexts tokens; `digest` is 64 hex digits, as `/api/tags` shows it.

    `flags` are the lines of the runner's record (see `runner_flags`) that the prompt cache was made with.
    """

    model: str
    digest: str
    format: str
    quantization: str
    parameter_size: str
    size_bytes: int
    num_ctx: int
    trained_context: int
    num_parallel: int
    ollama_version: str
    blobs: Mapping[str, int]
    flags: tuple[str, ...] = ()
    warmup_prompts: tuple[Mapping[str, Any], ...] = ()
    prompt_cache: tuple[PromptCacheFile, ...] = ()

    @property
    def prompts(self) -> tuple[ChatPrompt, ...]:
        """The warm-up prompts that the build answered, to be answered again."""
        return tuple(as_prompt(dict(prompt)) for prompt in self.warmup_prompts)

    def as_text(self) -> str:
        """Return the file's text: the same for the same content."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def read(cls, text: str) -> "ImageManifest":
        """Read the file's text; raises `ManifestRefused` that says what is wrong with it."""
        try:
            fields = json.loads(text)
            _check_schema(fields.pop("schema", None))
            fields["prompt_cache"] = tuple(PromptCacheFile(**entry) for entry in fields.get("prompt_cache", ()))
            for name in ("flags", "warmup_prompts"):
                fields[name] = tuple(fields.get(name, ()))
            manifest = cls(**fields)
            manifest.prompts  # noqa: B018 — read now, so that a bad one is told here
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ManifestRefused(f"manifest.json of the image cannot be used: {error}") from error
        return manifest


def _check_schema(found: object) -> None:
    if found != SCHEMA:
        raise ValueError(f"its schema is {found!r}, this agent reads {SCHEMA}")
