"""Settings: environment variables in, a frozen `Settings` out, every bad one reported at once.

`VARIABLES` is the one list: parsing, `--help` and docs/settings.md all come from it.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from probe_agent import parse
from probe_agent.errors import SettingsError
from probe_agent.ollama.prompts import ChatPrompt
from probe_agent.ollama.types import ModelSpec

PREFIX = "PROBE_AGENT_"
# Cloud Run probes a container from outside its loopback interface.
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104


class Device(StrEnum):
    """Where the model must lie: anywhere, or wholly in GPU memory."""

    ANY = "any"
    GPU = "gpu"


class DriftPolicy(StrEnum):
    """What to do when a client made Ollama reload with another context: load ours again, or only say so."""

    REPIN = "repin"
    REPORT = "report"


class ModelSource(StrEnum):
    """Where the models come from: the image, a mounted store, a download from Cloud Storage, or a registry."""

    IMAGE = "image"
    MOUNT = "mount"
    GCS = "gcs"
    PULL = "pull"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the agent is told. Times are seconds; `keep_alive` is as Ollama takes it."""

    models: tuple[ModelSpec, ...]
    model_source: ModelSource
    model_store: str
    model_bucket: str
    runtime_dir: str
    keep_alive: int | str
    device: Device
    host: str
    port: int
    ollama_url: str
    startup_hold_seconds: float
    startup_timeout_seconds: float
    period_seconds: float
    timeout_seconds: float
    failure_threshold: int
    warmup_prompts: tuple[ChatPrompt, ...]
    context_drift: DriftPolicy
    log_level: LogLevel
    num_parallel: int

    @property
    def pinned_forever(self) -> bool:
        """Whether `keep_alive` asks Ollama never to unload: any negative value does."""
        return str(self.keep_alive).startswith("-")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the settings; raises `SettingsError` with a line for every bad, missing or unknown variable."""
        values: dict[str, Any] = {}
        problems = _unknown(environ)
        for variable in VARIABLES:
            try:
                values[variable.name] = variable.read(environ)
            except ValueError as error:
                problems.append(f"{variable.name}={environ.get(variable.name, '')!r}: {error}")
        problems += _contradictions(values)
        if problems:
            raise SettingsError(problems)
        return cls(
            models=_pins(values[PREFIX + "MODEL"], values[PREFIX + "NUM_CTX"], values[PREFIX + "MODEL_DIGEST"]),
            num_parallel=values["OLLAMA_NUM_PARALLEL"],
            **{
                name.removeprefix(PREFIX).lower(): value
                for name, value in values.items()
                if name.removeprefix(PREFIX) not in ("MODEL", "NUM_CTX", "MODEL_DIGEST", "OLLAMA_NUM_PARALLEL")
            },
        )


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how to read it, what it is when unset (None: required), and what it means."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    meaning: str

    def read(self, environ: Mapping[str, str]) -> Any:
        """Return the parsed value; raises `ValueError` that says what is expected."""
        text = environ.get(self.name, "").strip() or self.default
        if text is None:
            raise ValueError("required: for example gemma3:4b-it-qat@8192")
        return self.parse(text)


def help_text() -> str:
    """Every variable with its default and meaning, for `probe-agent --help`."""
    blocks = []
    for variable in VARIABLES:
        default = "required" if variable.default is None else f"default: {variable.default or 'unset'}"
        blocks.append(f"  {variable.name} ({default})\n      {variable.meaning}")
    return "\n".join(blocks)


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [variable.name.removeprefix(PREFIX) for variable in VARIABLES]
    problems = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known:
            # Without the prefix, which all share: with it any short name is close to PROBE_AGENT_PORT.
            close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=0.8)
            problems.append(f"{name}: unknown variable" + (f"; did you mean {PREFIX}{close[0]}?" if close else ""))
    return problems


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between variables that are each right; those that failed to parse are left out."""
    problems = []
    period, timeout = values.get(PREFIX + "PERIOD_SECONDS"), values.get(PREFIX + "TIMEOUT_SECONDS")
    if period is not None and timeout is not None and timeout > period:
        problems.append(f"{PREFIX}TIMEOUT_SECONDS={timeout:g}: must not exceed {PREFIX}PERIOD_SECONDS={period:g}")
    keep_alive = values.get(PREFIX + "KEEP_ALIVE")
    if period is not None and keep_alive is not None and 0 <= parse.keep_alive_seconds(keep_alive) <= period:
        problems.append(
            f"{PREFIX}KEEP_ALIVE={keep_alive}: must outlast {PREFIX}PERIOD_SECONDS={period:g}, or be negative (no end)"
        )
    models, digests = values.get(PREFIX + "MODEL"), values.get(PREFIX + "MODEL_DIGEST")
    if models and digests and len(models) != len(digests):
        problems.append(
            f"{PREFIX}MODEL_DIGEST: {len(digests)} digests for {len(models)} models; give one for each, in order"
        )
    source, bucket = values.get(PREFIX + "MODEL_SOURCE"), values.get(PREFIX + "MODEL_BUCKET")
    if source is ModelSource.GCS and bucket == "":
        problems.append(f"{PREFIX}MODEL_SOURCE=gcs: {PREFIX}MODEL_BUCKET must say from where: gs://BUCKET/PREFIX")
    if source not in (None, ModelSource.GCS) and bucket:
        problems.append(f"{PREFIX}MODEL_BUCKET: is only read with {PREFIX}MODEL_SOURCE=gcs; leave it out")
    named = {prompt.model for prompt in values.get(PREFIX + "WARMUP_PROMPTS", ()) if prompt.model is not None}
    if models and (strangers := named - {name for name, _ in models}):
        problems.append(f"{PREFIX}WARMUP_PROMPTS: names {min(strangers)!r:.80}, which is not in {PREFIX}MODEL")
    return problems


def _pins(
    models: tuple[tuple[str, int | None], ...], num_ctx: int | None, digests: tuple[str, ...]
) -> tuple[ModelSpec, ...]:
    return tuple(
        ModelSpec(name, own_num_ctx or num_ctx, digests[place] if digests else None)
        for place, (name, own_num_ctx) in enumerate(models)
    )


VARIABLES: tuple[Variable, ...] = (
    Variable(
        PREFIX + "MODEL",
        parse.models,
        None,
        "The models to serve, NAME[@NUM_CTX], more of them after commas. Ready means all of them.",
    ),
    Variable(
        PREFIX + "NUM_CTX",
        parse.optional(parse.num_ctx, None),
        "",
        "The pinned context, in tokens, of models named without one; unset: the one that Ollama gives first.",
    ),
    Variable(
        PREFIX + "MODEL_DIGEST",
        parse.optional(parse.digests, ()),
        "",
        "The expected digest of each model, in order, at least 12 hex digits; another one is FAILED.",
    ),
    Variable(
        PREFIX + "MODEL_SOURCE",
        parse.choice(ModelSource),
        "image",
        "image | mount | gcs | pull: where the models come from; all but image are fetched or checked before the load.",
    ),
    Variable(
        PREFIX + "MODEL_STORE",
        parse.directory,
        "/models",
        "mount, gcs: the store's folder, on a volume that Ollama has too, as its OLLAMA_MODELS.",
    ),
    Variable(
        PREFIX + "MODEL_BUCKET",
        parse.optional(parse.bucket, ""),
        "",
        "gcs: the bucket that holds the store, gs://BUCKET/PREFIX, in Ollama's own layout.",
    ),
    Variable(
        PREFIX + "RUNTIME_DIR",
        parse.optional(parse.directory, ""),
        "",
        "A folder shared with the image of Ollama, which tells there of itself; unset: no prompt cache of the build.",
    ),
    Variable(
        PREFIX + "KEEP_ALIVE",
        parse.keep_alive,
        "-1",
        "How long Ollama keeps a model without requests: whole seconds or a duration; -1: no end.",
    ),
    Variable(
        PREFIX + "DEVICE",
        parse.choice(Device),
        "any",
        "any | gpu: with gpu, weights outside GPU memory mean not ready.",
    ),
    Variable(PREFIX + "HOST", str, EVERY_ADDRESS, "The address to listen on; probes do not reach 127.0.0.1."),
    Variable(PREFIX + "PORT", parse.integer(1, 65535, "port numbers"), "9090", "The port the agent listens on."),
    Variable(PREFIX + "OLLAMA_URL", parse.url, "http://127.0.0.1:11434", "Where Ollama listens."),
    Variable(
        PREFIX + "STARTUP_HOLD_SECONDS",
        parse.seconds(0, 1800),
        "0",
        "How long an early startup probe is held for its 200 instead of being refused at once; "
        "keep it below the probe's timeoutSeconds.",
    ),
    Variable(
        PREFIX + "STARTUP_TIMEOUT_SECONDS",
        parse.seconds(0.1, 86400),
        "600",
        "The start-up budget: how long one load request may take before it is tried anew; "
        "set it to the startup probe's failureThreshold × periodSeconds.",
    ),
    Variable(
        PREFIX + "PERIOD_SECONDS",
        parse.seconds(0.05, 3600),
        "5",
        "Seconds from one check of a ready model to the next.",
    ),
    Variable(
        PREFIX + "TIMEOUT_SECONDS",
        parse.seconds(0.05, 3600),
        "2",
        "How long one check may take; at most the period.",
    ),
    Variable(
        PREFIX + "FAILURE_THRESHOLD",
        parse.integer(1, 1000, "checks"),
        "3",
        "How many checks must fail in a row before a server that does not answer is given up.",
    ),
    Variable(
        PREFIX + "WARMUP_PROMPTS",
        parse.optional(parse.prompts, ()),
        "",
        'A file of JSON lines, each a chat request ({"messages": [...]}), answered before READY; unset: a greeting.',
    ),
    Variable(
        PREFIX + "CONTEXT_DRIFT",
        parse.choice(DriftPolicy),
        "repin",
        "repin | report: what to do when a client's own num_ctx made Ollama reload.",
    ),
    Variable(PREFIX + "LOG_LEVEL", parse.choice(LogLevel), "info", "debug | info | warning | error."),
    Variable(
        "OLLAMA_NUM_PARALLEL",
        parse.integer(1, 1024, "slots"),
        "1",
        "Ollama's own variable, given to both containers: the warm-up is spread over that many slots.",
    ),
)
