"""`/metrics`: made from a view at each scrape, so that no count is kept twice."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from probe_agent.readiness.states import ReadinessState
from probe_agent.readiness.view import ReadinessView

# The text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# A metric's values, by the tuple of its labels' values.
Values = Mapping[Any, float]
Family = TypeVar("Family", GaugeMetricFamily, CounterMetricFamily)


class AgentCollector(Collector):
    """Every metric of the agent, in base units, with the names that docs/endpoints.md documents."""

    def __init__(self, view: Callable[[], ReadinessView]) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Take one view and yield every metric of it."""
        view = self._view()
        yield from _states(view)
        yield from _cold_start(view)
        yield from _source(view)
        yield from _counts(view)
        yield from _models(view)


def _states(view: ReadinessView) -> Iterator[Metric]:
    yield _gauge("ready", "1 while the model answers, else 0.", view.ready)
    states = {(each,): each is view.state for each in ReadinessState}
    yield _gauges("state", "1 for the present state, else 0.", ["state"], states)
    yield _counters("transitions", "Changes of state.", ["from_state", "to_state"], view.transitions)


def _cold_start(view: ReadinessView) -> Iterator[Metric]:
    waterfall = view.waterfall
    phases = {(phase,): waterfall.seconds(phase) or 0.0 for phase, _ in waterfall.marks}
    yield _gauges("startup_phase_seconds", "Seconds each phase of the cold start took.", ["phase"], phases)
    if waterfall.gap_seconds is not None:
        text = "Seconds from the open port to READY, in which a TCP probe would have let requests in."
        yield _gauge("startup_gap_seconds", text, waterfall.gap_seconds)
    if waterfall.load_bytes_per_second is not None:
        text = "Bytes of model files over seconds of the first load."
        yield _gauge("load_bytes_per_second", text, waterfall.load_bytes_per_second)


def _source(view: ReadinessView) -> Iterator[Metric]:
    if (progress := view.source_progress) is None:
        return
    text = "Bytes of models that have arrived, earlier tries included; all of them once they are checked."
    yield _gauge("fetch_done_bytes", text, progress.done_bytes)
    yield _gauge("fetch_size_bytes", "Bytes of models that the source is to deliver.", progress.total_bytes)
    yield _gauge("fetch_bytes_per_second", "Rate at which the source delivers.", progress.bytes_per_second or 0.0)


def _counts(view: ReadinessView) -> Iterator[Metric]:
    yield _counter("checks", "Checks of a ready model.", view.checks)
    yield _counter("check_seconds", "Seconds spent in checks.", view.check_seconds)
    failures = {(kind,): count for kind, count in view.failures.items()}
    yield _counters("failures", "Failed requests to Ollama.", ["kind"], failures)
    reloads = {(cause,): count for cause, count in view.reloads.items()}
    yield _counters("reloads", "Times a model had to be loaded again.", ["cause"], reloads)
    yield _counter("unpinned", "Times a client's keep_alive was found and the model pinned again.", view.unpinned)
    yield _counter("warmup_prompts", "Warm-up prompts sent.", view.warmup_prompts)
    yield _counter("warmup_refused", "Warm-up prompts that Ollama refused.", view.warmup_refused)
    yield _gauge("prompt_cache_restored_slots", "Slots that hold the build's prompt cache.", view.restored_slots)


def _models(view: ReadinessView) -> Iterator[Metric]:
    running = {(each.name,): each.running for each in view.models if each.running is not None}
    contexts = {name: model.context_length or 0 for name, model in running.items()}
    yield _gauges("context_length", "Observed context, tokens per slot.", ["model"], contexts)
    memory = {name: model.memory_bytes for name, model in running.items()}
    yield _gauges("model_memory_bytes", "Memory of a loaded model.", ["model"], memory)
    vram = {name: model.vram_bytes for name, model in running.items()}
    yield _gauges("model_vram_bytes", "The part of a model's memory that is GPU memory.", ["model"], vram)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"probe_agent_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"probe_agent_{name}", text, value=value)


def _gauges(name: str, text: str, labels: list[str], values: Values) -> GaugeMetricFamily:
    return _filled(GaugeMetricFamily(f"probe_agent_{name}", text, labels=labels), values)


def _counters(name: str, text: str, labels: list[str], values: Values) -> CounterMetricFamily:
    return _filled(CounterMetricFamily(f"probe_agent_{name}", text, labels=labels), values)


def _filled(family: Family, values: Values) -> Family:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the text that Prometheus scrapes."""
    return generate_latest(registry)


def registry_of(view: Callable[[], ReadinessView]) -> CollectorRegistry:
    """Return a registry of the agent's metrics alone, without the process-wide default ones."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(view))
    return registry


def held_probes(registry: CollectorRegistry) -> Gauge:
    """Return the number of startup probes that wait for READY; kept by the route that holds them."""
    return Gauge("probe_agent_held_probes", "Startup probes waiting for READY.", registry=registry)
