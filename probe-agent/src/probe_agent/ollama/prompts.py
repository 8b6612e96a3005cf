"""What to send to a freshly loaded model, and in what order: pure, no I/O."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

# The fields of Ollama's chat request that make sense in a warm-up; the agent sets the others itself.
PROMPT_FIELDS = frozenset({"model", "messages", "tools", "format", "think", "options"})
# Options of the runner, not of the sampling: Ollama would reload for each of them (api/types.go: Runner).
RUNNER_OPTIONS = frozenset({"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "num_thread"})
# One generated token: the prompt is what fills a cache, the answer only costs time.
DEFAULT_NUM_PREDICT = 1


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """One chat request to warm up with; `model` None means every model that can generate."""

    messages: tuple[dict[str, Any], ...]
    model: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()

    def request(self, num_ctx: int | None) -> dict[str, Any]:
        """Return the chat request's fields, with the pinned context so that nothing reloads."""
        options = {"num_predict": DEFAULT_NUM_PREDICT, **dict(self.options)}
        if num_ctx is not None:
            options["num_ctx"] = num_ctx
        return {"messages": list(self.messages), "options": options, **dict(self.extra)}


GREETING = ChatPrompt(messages=({"role": "user", "content": "Hello."},))


def read_prompts(text: str) -> tuple[ChatPrompt, ...]:
    """Read JSON lines, one chat request each; blank lines are skipped, and a line ends at a line feed alone.

    Raises `ValueError` that names the line and what is expected there.
    """
    prompts = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                value = json.loads(line)
                # Python reads NaN and halves of surrogate pairs, which could not be sent.
                json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
                prompts.append(as_prompt(value))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}: is no JSON: {error.msg} (character {error.pos + 1})") from None
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number}: {error}") from None
    if not prompts:
        raise ValueError("holds no prompt; expected JSON lines, each a chat request with messages")
    return tuple(prompts)


def as_prompt(value: object) -> ChatPrompt:
    """Read one chat request; raises `ValueError` that says what is expected."""
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object, a chat request with messages")  # noqa: TRY004 — bad input, not a bug
    unknown = sorted(set(value) - PROMPT_FIELDS)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r:.80}; known are {', '.join(sorted(PROMPT_FIELDS))}")
    messages, options, model = value.get("messages"), value.get("options", {}), value.get("model")
    if not isinstance(messages, list) or not messages or not all(_is_message(message) for message in messages):
        raise ValueError('expected "messages": a list of {"role": ..., "content": ...}')
    if not isinstance(options, dict) or not (model is None or isinstance(model, str)):
        raise ValueError('expected "options" to be an object and "model" to be a name')
    if reloading := RUNNER_OPTIONS & set(options):
        raise ValueError(f"option {min(reloading)} would make Ollama reload the model; leave it out")
    extra = tuple((name, value[name]) for name in ("tools", "format", "think") if name in value)
    return ChatPrompt(tuple(messages), model, tuple(options.items()), extra)


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


def rounds(prompts: Sequence[ChatPrompt], slots: int) -> Iterator[tuple[ChatPrompt, ...]]:
    """Yield what to send at once, one prompt for each parallel slot, until every prompt was sent.

    A round is always full: the prompts begin again, so that no slot meets its first user cold.
    """
    turns = -(-len(prompts) // slots)
    supply = cycle(prompts)
    for _ in range(turns):
        yield tuple(islice(supply, slots))
