"""Settings: environment variables in, a frozen `Settings` out, every bad one reported at once.

`VARIABLES` is the one list: parsing, `--help` and the README's table all come from it.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from probe_agent.errors import SettingsError
from probe_agent.proof import ModelPin
from probe_agent.warmup import ChatPrompt, read_prompts

PREFIX = "PROBE_AGENT_"
MAX_NUM_CTX = 1 << 24  # no model is trained beyond 10M tokens; a larger number is a slip
DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{12,64})")
DURATION = re.compile(r"-?(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")
SECONDS_OF = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Device(StrEnum):
    """Where the model must lie: anywhere, or wholly in GPU memory."""

    ANY = "any"
    GPU = "gpu"


class DriftPolicy(StrEnum):
    """What to do when a client made Ollama reload with another context: load ours again, or only say so."""

    REPIN = "repin"
    REPORT = "report"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the agent is told. Times are seconds; `keep_alive` is as Ollama takes it."""

    models: tuple[ModelPin, ...]
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
            models=_pins(
                values[PREFIX + "MODEL"], values[PREFIX + "NUM_CTX"], values[PREFIX + "MODEL_DIGEST"]
            ),
            num_parallel=values["OLLAMA_NUM_PARALLEL"],
            **{
                name.removeprefix(PREFIX).lower(): value
                for name, value in values.items()
                if name.removeprefix(PREFIX)
                not in ("MODEL", "NUM_CTX", "MODEL_DIGEST", "OLLAMA_NUM_PARALLEL")
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
    known = [variable.name for variable in VARIABLES]
    problems = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            problems.append(f"{name}: unknown variable" + (f"; did you mean {close[0]}?" if close else ""))
    return problems


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """What is wrong between variables that are each right; those that failed to parse are left out."""
    problems = []
    period, timeout = values.get(PREFIX + "PERIOD_SECONDS"), values.get(PREFIX + "TIMEOUT_SECONDS")
    if period is not None and timeout is not None and timeout > period:
        problems.append(
            f"{PREFIX}TIMEOUT_SECONDS={timeout:g}: must not exceed {PREFIX}PERIOD_SECONDS={period:g}"
        )
    keep_alive = values.get(PREFIX + "KEEP_ALIVE")
    if period is not None and keep_alive is not None and 0 <= _keep_alive_seconds(keep_alive) <= period:
        problems.append(
            f"{PREFIX}KEEP_ALIVE={keep_alive}: must outlast {PREFIX}PERIOD_SECONDS={period:g}, or be negative (no end)"
        )
    models, digests = values.get(PREFIX + "MODEL"), values.get(PREFIX + "MODEL_DIGEST")
    if models and digests and len(models) != len(digests):
        problems.append(
            f"{PREFIX}MODEL_DIGEST: {len(digests)} digests for {len(models)} models; give one for each, in order"
        )
    return problems


def _pins(
    models: tuple[tuple[str, int | None], ...], num_ctx: int | None, digests: tuple[str, ...]
) -> tuple[ModelPin, ...]:
    return tuple(
        ModelPin(name, own_num_ctx or num_ctx, digests[place] if digests else None)
        for place, (name, own_num_ctx) in enumerate(models)
    )


def _models(text: str) -> tuple[tuple[str, int | None], ...]:
    found: list[tuple[str, int | None]] = []
    for entry in text.split(","):
        name, at, context = entry.strip().partition("@")
        if not name or any(letter.isspace() for letter in name):
            raise ValueError(
                "expected NAME[@NUM_CTX], more of them after commas: gemma3:4b-it-qat@8192,embeddinggemma@2048"
            )
        if any(name == other for other, _ in found):
            raise ValueError(f"{name} is named twice; Ollama holds one context for a model")
        found.append((name, _num_ctx(context) if at else None))
    return tuple(found)


def _num_ctx(text: str) -> int | None:
    return (
        _integer(1, MAX_NUM_CTX, "tokens")(text) if text else _refuse("expected a number of tokens after @")
    )


def _refuse(why: str) -> Any:
    raise ValueError(why)


def _optional(parse: Callable[[str], Any], unset: Any) -> Callable[[str], Any]:
    return lambda text: parse(text) if text else unset


def _integer(low: int, high: int, unit: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"expected a whole number of {unit} from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not low <= float(text) <= high:
            raise ValueError(f"expected seconds from {low:g} to {high:g}")
        return float(text)

    return parse


def _choice(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def parse(text: str) -> StrEnum:
        try:
            return kind(text.lower())
        except ValueError:
            raise ValueError(f"expected one of: {', '.join(kind)}") from None

    return parse


def _keep_alive(text: str) -> int | str:
    """Read a keep_alive: whole seconds as a number (Ollama refuses the string "-1"), else a duration."""
    if re.fullmatch(r"-?[0-9]{1,9}", text):
        return int(text)
    if not DURATION.fullmatch(text):
        raise ValueError("expected whole seconds (-1: no end) or a duration such as 90m or 24h")
    return text


def _keep_alive_seconds(keep_alive: int | str) -> float:
    if isinstance(keep_alive, int):
        return keep_alive
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", keep_alive)
    return (-1 if keep_alive.startswith("-") else 1) * sum(float(n) * SECONDS_OF[unit] for n, unit in parts)


def _digests(text: str) -> tuple[str, ...]:
    matches = [DIGEST.fullmatch(entry.strip()) for entry in text.split(",")]
    if not all(matches):
        raise ValueError(
            "expected 12 to 64 hex digits of the model's digest (ollama list shows 12), one for each model"
        )
    return tuple(match.group(1).lower() for match in matches if match)


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        valid = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and parts.port != 0
            and parts.path in ("", "/")
        )
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username:
        raise ValueError("expected http://HOST:PORT of the Ollama server, without a path")
    return text.rstrip("/")


def _prompts(text: str) -> tuple[ChatPrompt, ...]:
    try:
        return read_prompts(Path(text).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read as UTF-8 text: {error}") from None


VARIABLES: tuple[Variable, ...] = (
    Variable(
        PREFIX + "MODEL",
        _models,
        None,
        "The models to serve, NAME[@NUM_CTX], more of them after commas. Ready means all of them.",
    ),
    Variable(
        PREFIX + "NUM_CTX",
        _optional(_integer(1, MAX_NUM_CTX, "tokens"), None),
        "",
        "The pinned context, in tokens, of models named without one; unset: what Ollama gives.",
    ),
    Variable(
        PREFIX + "MODEL_DIGEST",
        _optional(_digests, ()),
        "",
        "The expected digest of each model, in order, at least 12 hex digits; another one is FAILED.",
    ),
    Variable(
        PREFIX + "KEEP_ALIVE",
        _keep_alive,
        "-1",
        "How long Ollama keeps a model without requests: whole seconds or a duration; -1: no end.",
    ),
    Variable(
        PREFIX + "DEVICE",
        _choice(Device),
        "any",
        "any | gpu: with gpu, weights outside GPU memory mean not ready.",
    ),
    Variable(
        PREFIX + "HOST", str, "0.0.0.0", "The address the agent listens on; probes do not reach 127.0.0.1."
    ),  # noqa: S104 — Cloud Run's probes come from outside the loopback
    Variable(PREFIX + "PORT", _integer(1, 65535, "a port"), "9090", "The port the agent listens on."),
    Variable(PREFIX + "OLLAMA_URL", _url, "http://127.0.0.1:11434", "Where Ollama listens."),
    Variable(
        PREFIX + "STARTUP_HOLD_SECONDS",
        _seconds(0, 1800),
        "0",
        "How long an early startup probe is held for its 200 instead of being refused at once; "
        "keep it below the probe's timeoutSeconds.",
    ),
    Variable(
        PREFIX + "STARTUP_TIMEOUT_SECONDS",
        _seconds(0.1, 86400),
        "600",
        "The start-up budget: how long one load request may take before it is tried anew; "
        "set it to the startup probe's failureThreshold × periodSeconds.",
    ),
    Variable(
        PREFIX + "PERIOD_SECONDS",
        _seconds(0.05, 3600),
        "5",
        "Seconds from one check of a ready model to the next.",
    ),
    Variable(
        PREFIX + "TIMEOUT_SECONDS",
        _seconds(0.05, 3600),
        "2",
        "How long one check may take; at most the period.",
    ),
    Variable(
        PREFIX + "FAILURE_THRESHOLD",
        _integer(1, 1000, "checks"),
        "3",
        "How many checks must fail in a row before a server that does not answer is given up.",
    ),
    Variable(
        PREFIX + "WARMUP_PROMPTS",
        _optional(_prompts, ()),
        "",
        'A file of JSON lines, each a chat request ({"messages": [...]}), answered before READY; unset: a greeting.',
    ),
    Variable(
        PREFIX + "CONTEXT_DRIFT",
        _choice(DriftPolicy),
        "repin",
        "repin | report: what to do when a client's own num_ctx made Ollama reload.",
    ),
    Variable(PREFIX + "LOG_LEVEL", _choice(LogLevel), "info", "debug | info | warning | error."),
    Variable(
        "OLLAMA_NUM_PARALLEL",
        _integer(1, 1024, "slots"),
        "1",
        "Ollama's own variable, given to both containers: the warm-up is spread over that many slots.",
    ),
)
