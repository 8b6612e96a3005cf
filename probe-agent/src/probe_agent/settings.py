"""Settings: environment variables in, a frozen `Settings` out, every bad one reported at once."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from probe_agent import parse
from probe_agent.errors import SettingsError
from probe_agent.ollama.names import same_model
from probe_agent.ollama.prompts import ChatPrompt
from probe_agent.ollama.types import ModelSpec
from probe_agent.text import printable
from probe_agent.variables import (
    PREFIX,
    VARIABLES,
    Device,
    DriftPolicy,
    Gateway,
    LogLevel,
    LogTarget,
    ModelSource,
    PinMode,
)


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
    log_target: LogTarget
    num_parallel: int
    gateway: Gateway
    gateway_aliases: Mapping[str, str]
    gateway_open_routes: tuple[str, ...]
    gateway_api_keys_file: str
    gateway_body_bytes: int
    gateway_deadline_seconds: float
    gateway_queue: int
    gateway_drain_seconds: float
    gateway_num_ctx: PinMode
    gateway_runner_options: PinMode
    gateway_keep_alive: PinMode

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
                problems.append(f"{variable.name}={variable.shown(environ)!r}: {error}")
        problems += _contradictions(values)
        if problems:
            raise SettingsError(problems)
        return cls(
            models=_specs(values[PREFIX + "MODEL"], values[PREFIX + "NUM_CTX"], values[PREFIX + "MODEL_DIGEST"]),
            num_parallel=values["OLLAMA_NUM_PARALLEL"],
            **{
                name.removeprefix(PREFIX).lower(): value
                for name, value in values.items()
                if name.removeprefix(PREFIX) not in ("MODEL", "NUM_CTX", "MODEL_DIGEST", "OLLAMA_NUM_PARALLEL")
            },
        )


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [variable.name.removeprefix(PREFIX) for variable in VARIABLES]
    problems = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in known:
            # Without the prefix, which all share: with it any short name is close to PROBE_AGENT_PORT.
            close = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1, cutoff=0.8)
            problems.append(
                f"{printable(name)}: unknown variable" + (f"; did you mean {PREFIX}{close[0]}?" if close else "")
            )
    return problems


def _contradictions(values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong between variables that are each right; those that failed to parse are left out."""
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
    if models and (strangers := [name for name in named if not any(same_model(name, each) for each, _ in models)]):
        problems.append(f"{PREFIX}WARMUP_PROMPTS: names {min(strangers)!r:.80}, which is not in {PREFIX}MODEL")
    for alias, target in values.get(PREFIX + "GATEWAY_ALIASES", {}).items():
        if models and not any(same_model(target, each) for each, _ in models):
            problems.append(f"{PREFIX}GATEWAY_ALIASES={alias}={target}: the model is not in {PREFIX}MODEL")
    if values.get(PREFIX + "GATEWAY") is Gateway.ON and values.get(PREFIX + "OLLAMA_URL", "").startswith("https:"):
        problems.append(f"{PREFIX}GATEWAY=on: reaches Ollama by HTTP alone; {PREFIX}OLLAMA_URL is https")
    return problems


def _specs(
    models: tuple[tuple[str, int | None], ...], num_ctx: int | None, digests: tuple[str, ...]
) -> tuple[ModelSpec, ...]:
    return tuple(
        ModelSpec(name, own_num_ctx or num_ctx, digests[place] if digests else None)
        for place, (name, own_num_ctx) in enumerate(models)
    )
