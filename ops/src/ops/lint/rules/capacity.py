"""Concurrency, slots, queue and loaded models: what the platform sends and what Ollama takes."""

from collections.abc import Iterator

from ops.cloudrun.limits import DEFAULT_CONCURRENCY
from ops.cloudrun.scaling import rule_of_thumb
from ops.lint.findings import Options
from ops.lint.registry import rule
from ops.service.model import REVISION, REVISION_ANNOTATIONS, Service
from ops.service.problem import Problem, Severity
from ops.service.values import whole

CONCURRENCY = (*REVISION, "containerConcurrency")
DEFAULT_QUEUE = 512
MIN_SCALE, MAX_SCALE = "autoscaling.knative.dev/minScale", "autoscaling.knative.dev/maxScale"


def slots(service: Service) -> int | None:
    """Return Ollama's slots per model; unset it is 1; None when there is no Ollama or the value is no number."""
    if service.ollama is None or "OLLAMA_NUM_PARALLEL" in service.ollama.referred:
        return None
    found = whole(service.ollama.env.get("OLLAMA_NUM_PARALLEL", "1"))
    return found if found and found > 0 else None


@rule("concurrency")
def concurrency(service: Service, _options: Options) -> Iterator[Problem]:
    """The concurrency is what an instance can serve: (models x parallel) + (models x batch), never the default."""
    number = whole(service.spec.get("containerConcurrency"))
    parallel = slots(service)
    wanted = rule_of_thumb(len(service.settings.models), parallel) if service.settings and parallel else None
    advice = f"Set containerConcurrency: {wanted}." if wanted else "Set it to what the instance can serve."
    if not number:
        if service.ollama:
            reason = f"containerConcurrency has its default of {DEFAULT_CONCURRENCY}, whatever the slots can serve"
            yield Problem(CONCURRENCY, reason, advice)
    elif wanted and number != wanted and service.settings:
        models = len(service.settings.models)
        reason = (
            f"containerConcurrency is {number}; (models x parallel) + (models x batch) = "
            f"{models} x {parallel} + {models} x {parallel} = {wanted}"
        )
        yield Problem(CONCURRENCY, reason, advice)


@rule("slots")
def same_slots(service: Service, _options: Options) -> Iterator[Problem]:
    """Both containers have the same OLLAMA_NUM_PARALLEL: the agent spreads the warm-up over Ollama's slots."""
    if service.agent is None or service.ollama is None:
        return
    name = "OLLAMA_NUM_PARALLEL"
    if name in service.agent.referred | service.ollama.referred:
        return
    ours, theirs = service.agent.env.get(name, "1"), service.ollama.env.get(name, "1")
    if ours != theirs:
        reason = f"the agent counts {ours} slots, Ollama {theirs}: slots stay cold, or the warm-up queues"
        yield Problem(service.agent.env_place(name), reason, f"Set {name} to '{theirs}' in both containers.")


@rule("loaded-models")
def loaded_models(service: Service, _options: Options) -> Iterator[Problem]:
    """Ollama may hold as many models as the agent waits for, or they evict each other forever."""
    if service.ollama is None or service.settings is None:
        return
    number, models = whole(service.ollama.env.get("OLLAMA_MAX_LOADED_MODELS")), len(service.settings.models)
    if number is not None and 0 < number < models:
        reason = f"Ollama holds {number} model(s) at once, the agent waits for {models}: each load evicts another"
        fix = f"Set OLLAMA_MAX_LOADED_MODELS to '{models}'."
        yield Problem(service.ollama.env_place("OLLAMA_MAX_LOADED_MODELS"), reason, fix)


@rule("queue")
def queue(service: Service, _options: Options) -> Iterator[Problem]:
    """Ollama's queue holds at least what the platform may send, or requests get 503 during a reload."""
    number = whole(service.spec.get("containerConcurrency")) or DEFAULT_CONCURRENCY
    if service.ollama is None or "OLLAMA_MAX_QUEUE" in service.ollama.referred:
        return
    length = whole(service.ollama.env.get("OLLAMA_MAX_QUEUE", str(DEFAULT_QUEUE)))
    if length is not None and length < number:
        reason = f"Ollama queues {length} requests during a load, the platform sends up to {number}"
        fix = f"Set OLLAMA_MAX_QUEUE to at least '{number}'."
        yield Problem(service.ollama.env_place("OLLAMA_MAX_QUEUE"), reason, fix)


@rule("scale")
def scale(service: Service, options: Options) -> Iterator[Problem]:
    """MinScale is at most maxScale, and with a GPU maxScale is at most the quota."""
    low = whole(service.annotations.get(MIN_SCALE)) or 0
    high = whole(service.annotations.get(MAX_SCALE))
    if high is not None and low > high:
        reason = f"minScale {low} is more than maxScale {high}: the API refuses it"
        yield Problem((*REVISION_ANNOTATIONS, MIN_SCALE), reason, f"Set it to at most '{high}'.")
    if service.gpu and (100 if high is None else high) > options.gpu_quota:
        said = f"maxScale is {high}" if high is not None else "without maxScale, up to 100 instances start"
        reason = f"{said}, one GPU each; the region grants {options.gpu_quota}"
        fix = f"Set autoscaling.knative.dev/maxScale to '{options.gpu_quota}', or give --gpu-quota N if you have more."
        yield Problem((*REVISION_ANNOTATIONS, MAX_SCALE), reason, fix, Severity.WARNING)
