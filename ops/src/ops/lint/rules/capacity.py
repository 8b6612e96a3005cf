"""Concurrency, slots, queue and loaded models: what the platform sends and Ollama takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.cloudrun.limits import DEFAULT_CONCURRENCY
from ops.cloudrun.scaling import rule_of_thumb
from ops.lint.findings import Options, Problem, Severity, rule
from ops.lint.values import whole
from ops.lint.view import REVISION, REVISION_ANNOTATIONS, View

if TYPE_CHECKING:
    from collections.abc import Iterator

CONCURRENCY = (*REVISION, "containerConcurrency")
DEFAULT_QUEUE = 512
MIN_SCALE, MAX_SCALE = "autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale"


def slots(view: View) -> int | None:
    """Return Ollama's slots per model; unset it is 1; None when there is no Ollama or the value is no number."""
    if view.ollama is None or "OLLAMA_NUM_PARALLEL" in view.ollama.referred:
        return None
    found = whole(view.ollama.env.get("OLLAMA_NUM_PARALLEL", "1"))
    return found if found and found > 0 else None


@rule("concurrency")
def concurrency(view: View, _options: Options) -> Iterator[Problem]:
    """Requests at once are what the instance can serve: (models x parallel) + (models x batch), never the default."""
    number = whole(view.spec.get("containerConcurrency"))
    parallel = slots(view)
    wanted = rule_of_thumb(len(view.settings.models), parallel) if view.settings and parallel else None
    advice = f"Set containerConcurrency: {wanted}." if wanted else "Set it to what the instance can serve."
    if not number:
        if view.ollama:
            reason = f"containerConcurrency is left to its default of {DEFAULT_CONCURRENCY}; slots decide, not it"
            yield Problem(CONCURRENCY, reason, advice)
    elif wanted and number != wanted and view.settings:
        models = len(view.settings.models)
        reason = (
            f"containerConcurrency is {number}; (models x parallel) + (models x batch) = "
            f"{models} x {parallel} + {models} x {parallel} = {wanted}"
        )
        yield Problem(CONCURRENCY, reason, advice)


@rule("slots")
def same_slots(view: View, _options: Options) -> Iterator[Problem]:
    """Both containers know the same OLLAMA_NUM_PARALLEL: the warm-up is spread over Ollama's slots."""
    if view.agent is None or view.ollama is None:
        return
    name = "OLLAMA_NUM_PARALLEL"
    if name in view.agent.referred | view.ollama.referred:
        return
    ours, theirs = view.agent.env.get(name, "1"), view.ollama.env.get(name, "1")
    if ours != theirs:
        reason = f"the agent is told {ours} slots, Ollama {theirs}: slots stay cold, or the warm-up queues"
        yield Problem(view.agent.env_place(name), reason, f"Set {name} to '{theirs}' in both containers.")


@rule("loaded-models")
def loaded_models(view: View, _options: Options) -> Iterator[Problem]:
    """Ollama may hold as many models as the agent waits for, or they evict each other for ever."""
    if view.ollama is None or view.settings is None:
        return
    number, models = whole(view.ollama.env.get("OLLAMA_MAX_LOADED_MODELS")), len(view.settings.models)
    if number is not None and 0 < number < models:
        reason = f"Ollama holds {number} model(s) at once, the agent waits for {models}: each load evicts another"
        fix = f"Set OLLAMA_MAX_LOADED_MODELS to '{models}'."
        yield Problem(view.ollama.env_place("OLLAMA_MAX_LOADED_MODELS"), reason, fix)


@rule("queue")
def queue(view: View, _options: Options) -> Iterator[Problem]:
    """Ollama's queue takes at least what the platform may send, or a reload refuses requests with 503."""
    number = whole(view.spec.get("containerConcurrency")) or DEFAULT_CONCURRENCY
    if view.ollama is None or "OLLAMA_MAX_QUEUE" in view.ollama.referred:
        return
    length = whole(view.ollama.env.get("OLLAMA_MAX_QUEUE", str(DEFAULT_QUEUE)))
    if length is not None and length < number:
        reason = f"Ollama queues {length} requests during a load, the platform sends up to {number}"
        fix = f"Set OLLAMA_MAX_QUEUE to at least '{number}'."
        yield Problem(view.ollama.env_place("OLLAMA_MAX_QUEUE"), reason, fix)


@rule("scale")
def scale(view: View, options: Options) -> Iterator[Problem]:
    """The bound minScale does not exceed maxScale, and with a GPU maxScale does not exceed the quota."""
    low = whole(view.annotations.get(MIN_SCALE)) or 0
    high = whole(view.annotations.get(MAX_SCALE))
    if high is not None and low > high:
        reason = f"minScale {low} is more than maxScale {high}: the API refuses it"
        yield Problem((*REVISION_ANNOTATIONS, MIN_SCALE), reason, f"Set it to at most '{high}'.")
    if view.gpu and (100 if high is None else high) > options.gpu_quota:
        said = f"maxScale is {high}" if high is not None else "without maxScale up to 100 instances start"
        reason = f"{said}, one GPU each; the region grants {options.gpu_quota}"
        fix = f"Set autoscaling.knative.dev/maxScale to '{options.gpu_quota}', or say --gpu-quota N if you have more."
        yield Problem((*REVISION_ANNOTATIONS, MAX_SCALE), reason, fix, Severity.WARNING)


@rule("revision-bounds")
def revision_bounds(view: View, _options: Options) -> Iterator[Problem]:
    """Concurrency and the time-out of a request lie within the platform's bounds."""
    for name, most in (("containerConcurrency", 1000), ("timeoutSeconds", 3600)):
        value = whole(view.spec.get(name))
        if value is not None and not 0 <= value <= most:
            reason = f"{name} is {value}; the platform takes at most {most}"
            yield Problem((*REVISION, name), reason, f"Choose a value from 1 to {most}.")
