"""The agent's environment variables: the one list that parsing, `--help` and docs/settings.md come from. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from probe_agent import parse
from probe_agent.text import masked

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


class LogTarget(StrEnum):
    """Where log lines go: to standard output alone, or to Cloud Logging's API as well."""

    STDOUT = "stdout"
    API = "api"


class LogLevel(StrEnum):
    """The least severe level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Gateway(StrEnum):
    """Whether the agent stands in front of Ollama, as the ingress container."""

    OFF = "off"
    ON = "on"


class PinMode(StrEnum):
    """What happens to a request that differs from a pin: it is changed, refused, or only noted."""

    ENFORCE = "enforce"
    REJECT = "reject"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable: how to read it, what it is when unset (None: required), and what it means."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    meaning: str

    def shown(self, environ: Mapping[str, str]) -> str:
        """Return the text as a message may show it: without a password."""
        text = environ.get(self.name, "")
        return masked(text) if self.parse is parse.url else text

    def read(self, environ: Mapping[str, str]) -> Any:
        """Return the parsed value; raises `ValueError` that says what is expected."""
        text = environ.get(self.name, "").strip() or self.default
        if text is None:
            raise ValueError("required: for example gemma3:4b-it-qat@8192")
        if not text.isprintable():
            raise ValueError("expected UTF-8 text without line breaks or other control characters")
        return self.parse(text)


def help_text() -> str:
    """Every variable with its default and meaning, for `probe-agent --help`."""
    blocks = []
    for variable in VARIABLES:
        default = "required" if variable.default is None else f"default: {variable.default or 'unset'}"
        blocks.append(f"  {variable.name} ({default})\n      {variable.meaning}")
    return "\n".join(blocks)


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
        "Pinned context, in tokens, for models named without one; unset: the one that Ollama gives first.",
    ),
    Variable(
        PREFIX + "MODEL_DIGEST",
        parse.optional(parse.digests, ()),
        "",
        "The expected digest of each model, in order, at least 12 hex digits; "
        "any other digest puts the agent into FAILED.",
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
        "mount, gcs: the store's directory, on a volume that Ollama mounts too, as its OLLAMA_MODELS.",
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
        "A directory shared with the Ollama container, where its image publishes its manifest and its runners' flags; "
        "unset: the build's prompt cache is not used.",
    ),
    Variable(
        PREFIX + "KEEP_ALIVE",
        parse.keep_alive,
        "-1",
        "How long Ollama keeps a model in memory without requests: whole seconds or a duration; -1: for ever.",
    ),
    Variable(
        PREFIX + "DEVICE",
        parse.choice(Device),
        "any",
        "any | gpu: with gpu, a model that lies partly outside GPU memory is not ready.",
    ),
    Variable(PREFIX + "HOST", str, EVERY_ADDRESS, "The address to listen on; probes do not reach 127.0.0.1."),
    Variable(PREFIX + "PORT", parse.integer(1, 65535, "port numbers"), "9090", "The port the agent listens on."),
    Variable(PREFIX + "OLLAMA_URL", parse.url, "http://127.0.0.1:11434", "Where Ollama listens."),
    Variable(
        PREFIX + "STARTUP_HOLD_SECONDS",
        parse.seconds(0, 1800),
        "0",
        "How long an early startup probe waits for its 200 instead of getting a 503 at once; "
        "keep it below the probe's timeoutSeconds.",
    ),
    Variable(
        PREFIX + "STARTUP_TIMEOUT_SECONDS",
        parse.seconds(0.1, 86400),
        "600",
        "The start-up budget: how long one load request may take before it is tried again; "
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
        "How many checks must fail in a row before the server counts as unreachable.",
    ),
    Variable(
        PREFIX + "WARMUP_PROMPTS",
        parse.optional(parse.prompts, ()),
        "",
        'Path of a JSON lines file, each line a chat request ({"messages": [...]}) to answer before READY; '
        "unset: a greeting.",
    ),
    Variable(
        PREFIX + "CONTEXT_DRIFT",
        parse.choice(DriftPolicy),
        "repin",
        "repin | report: what to do after a client's own num_ctx made Ollama reload: load the pinned context again, or "
        "only report it.",
    ),
    Variable(PREFIX + "LOG_LEVEL", parse.choice(LogLevel), "info", "debug | info | warning | error."),
    Variable(
        PREFIX + "LOG_TARGET",
        parse.choice(LogTarget),
        "stdout",
        "stdout | api: with api, lines also go to Cloud Logging's API, for hosts where nothing collects the output.",
    ),
    Variable(
        PREFIX + "GATEWAY",
        parse.choice(Gateway),
        "off",
        "off | on: with on, every request that is not for the agent itself passes through it to Ollama.",
    ),
    Variable(
        PREFIX + "GATEWAY_ALIASES",
        parse.optional(parse.aliases, {}),
        "",
        "Gateway: other names that clients may use, NAME=MODEL, more of them after commas.",
    ),
    Variable(
        PREFIX + "GATEWAY_OPEN_ROUTES",
        parse.optional(parse.open_routes, ()),
        "",
        "Gateway: administrative paths to leave open, such as /api/pull, with commas between; unset: all are closed.",
    ),
    Variable(
        PREFIX + "GATEWAY_API_KEYS_FILE",
        parse.optional(parse.keys_file, ""),
        "",
        "Gateway: path of a file of lines NAME KEY, read again when it changes; unset: no key is asked for.",
    ),
    Variable(
        PREFIX + "GATEWAY_BODY_BYTES",
        parse.integer(1024, 1 << 30, "bytes"),
        "33554432",
        "Gateway: the largest body of a request.",
    ),
    Variable(
        PREFIX + "GATEWAY_DEADLINE_SECONDS",
        parse.seconds(0.1, 86400),
        "300",
        "Gateway: how long one request may take, its wait in the queue included.",
    ),
    Variable(
        PREFIX + "GATEWAY_QUEUE",
        parse.integer(0, 100000, "requests"),
        "64",
        "Gateway: how many requests may wait for a slot; the next one gets 429.",
    ),
    Variable(
        PREFIX + "GATEWAY_DRAIN_SECONDS",
        parse.seconds(0, 3600),
        "8",
        "Gateway: how long answers may go on after SIGTERM; keep it below the platform's own limit.",
    ),
    Variable(
        PREFIX + "GATEWAY_NUM_CTX",
        parse.choice(PinMode),
        "enforce",
        "enforce | reject | observe: what to do with a client's own num_ctx.",
    ),
    Variable(
        PREFIX + "GATEWAY_RUNNER_OPTIONS",
        parse.choice(PinMode),
        "enforce",
        "enforce | reject | observe: what to do with other options that make Ollama reload.",
    ),
    Variable(
        PREFIX + "GATEWAY_KEEP_ALIVE",
        parse.choice(PinMode),
        "enforce",
        "enforce | reject | observe: what to do with a client's own keep_alive.",
    ),
    Variable(
        "OLLAMA_NUM_PARALLEL",
        parse.slots,
        "1",
        "Ollama's own variable, set in both containers: the warm-up is spread over that many slots.",
    ),
)
