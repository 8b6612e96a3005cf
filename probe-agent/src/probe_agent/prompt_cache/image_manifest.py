"""`/models/manifest.json`: what the build put into the image. Written at build, read by the agent; pure.

The prompt cache is only good with the runner's flags that it was made with (R19), so they are in here too.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, get_args, get_origin

from probe_agent.errors import ManifestRefused, cause_of
from probe_agent.ollama.prompts import ChatPrompt, as_prompt

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptCacheFile:
    """One slot's saved state: the file under `prompt-cache/`, named by its content as a blob is, and what it holds.

    `prompt` is the number of the warm-up prompt, from 0; `tokens` is how many of its tokens are in the file.
    """

    file: str
    size_bytes: int
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
    def read(cls, text: str | bytes) -> "ImageManifest":
        """Read the file's text; raises `ManifestRefused` that says what is wrong with it."""
        try:
            content = json.loads(text)
            json.dumps(content, allow_nan=False, ensure_ascii=False).encode()  # what cannot be sent is no prompt
            if not isinstance(content, dict):
                raise ValueError("expected a JSON object")  # noqa: TRY004, TRY301 — bad input like all the rest
            _check_schema(content.pop("schema", None))
            manifest: ImageManifest = _typed(cls, content, "its content")
            manifest.prompts  # noqa: B018 — read now, so that a bad one is told here
        except (ValueError, TypeError, RecursionError) as error:
            raise ManifestRefused(f"manifest.json of the image cannot be used: {cause_of(error)}") from error
        return manifest


def _check_schema(found: object) -> None:
    if found != SCHEMA:
        raise ValueError(f"its schema is {found!r:.80}, this agent reads {SCHEMA}")


def _typed(kind: Any, value: Any, name: str) -> Any:
    """Make a value of JSON what a field's type says; raises `TypeError` that names the field."""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        kinds = {field.name: field.type for field in fields(kind)}
        if unknown := value.keys() - kinds.keys():
            raise TypeError(f"{name} has an unknown field {min(unknown)!r:.80}")
        return kind(**{key: _typed(kinds[key], each, key) for key, each in value.items()})
    if kind is Any:
        return value
    wanted, inner = get_origin(kind) or kind, get_args(kind)
    if isinstance(value, bool) or not isinstance(value, list if wanted is tuple else wanted):
        raise TypeError(f"{name} is {str(value)[:80]!r}, which is no {wanted.__name__}")
    match value:
        case list():
            return tuple(_typed(inner[0], each, name) for each in value)
        case dict():
            return {key: _typed(inner[1], each, name) for key, each in value.items()}
    return value
