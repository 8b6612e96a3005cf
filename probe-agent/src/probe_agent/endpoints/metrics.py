"""`/metrics`: made from the supervisor's state at each scrape, so that no count is kept twice."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from probe_agent.readiness.controller import Controller
from probe_agent.readiness.states import ReadinessState

# Of the text format that every Prometheus reads.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class AgentCollector(Collector):
    """Every metric of the agent; base units, and the names that docs/endpoints.md documents."""

    def __init__(self, supervisor: Controller) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterator[Metric]:
        """Read the state once."""
        yield from self._states()
        yield from self._cold_start()
        yield from self._source()
        yield from self._watch()
        yield from self._models()

    def _states(self) -> Iterator[Metric]:
        readiness = self._supervisor.readiness
        ready = int(readiness.ready)
        yield GaugeMetricFamily("probe_agent_ready", "1 while the model answers, else 0.", value=ready)
        state = GaugeMetricFamily("probe_agent_state", "1 for the present state, else 0.", labels=["state"])
        for each in ReadinessState:
            state.add_metric([each], int(each is readiness.state))
        yield state
        moves = CounterMetricFamily("probe_agent_transitions", "Changes of state.", labels=["from_state", "to_state"])
        for (before, after), count in self._supervisor.record.transitions.items():
            moves.add_metric([before, after], count)
        yield moves

    def _cold_start(self) -> Iterator[Metric]:
        waterfall = self._supervisor.record.waterfall
        phases = GaugeMetricFamily(
            "probe_agent_startup_phase_seconds",
            "Seconds each phase of the cold start took.",
            labels=["phase"],
        )
        for phase, _ in waterfall.marks:
            phases.add_metric([phase], waterfall.seconds(phase) or 0.0)
        yield phases
        if waterfall.gap_seconds is not None:
            text = "Seconds from the open port to READY, in which a TCP probe would have let requests in."
            yield GaugeMetricFamily("probe_agent_startup_gap_seconds", text, value=waterfall.gap_seconds)
        if waterfall.load_bytes_per_second is not None:
            text = "Bytes of model files over seconds of the first load."
            rate = waterfall.load_bytes_per_second
            yield GaugeMetricFamily("probe_agent_load_bytes_per_second", text, value=rate)

    def _source(self) -> Iterator[Metric]:
        if self._supervisor.source is None:
            return
        now = self._supervisor.source.progress.snapshot()
        text = "Bytes of models that have come, those of before included; all of them once they are checked."
        yield GaugeMetricFamily("probe_agent_fetch_done_bytes", text, value=now.done_bytes)
        text = "Bytes of models that the source is to deliver."
        yield GaugeMetricFamily("probe_agent_fetch_size_bytes", text, value=now.total_bytes)
        text = "Rate at which the source delivers."
        yield GaugeMetricFamily("probe_agent_fetch_bytes_per_second", text, value=now.bytes_per_second or 0.0)

    def _watch(self) -> Iterator[Metric]:
        record = self._supervisor.record
        yield CounterMetricFamily("probe_agent_checks", "Checks of a ready model.", value=record.checks)
        text = "Seconds spent in checks."
        yield CounterMetricFamily("probe_agent_check_seconds", text, value=record.check_seconds)
        failures = CounterMetricFamily("probe_agent_failures", "Failed requests to Ollama.", labels=["kind"])
        for kind, count in record.failures.items():
            failures.add_metric([kind], count)
        yield failures
        reloads = CounterMetricFamily("probe_agent_reloads", "Times a model had to be loaded again.", labels=["cause"])
        for cause, count in record.reloads.items():
            reloads.add_metric([cause], count)
        yield reloads
        text = "Times a client's keep_alive was found and the model pinned again."
        yield CounterMetricFamily("probe_agent_unpinned", text, value=record.unpinned)
        yield CounterMetricFamily("probe_agent_warmup_prompts", "Warm-up prompts sent.", value=record.warmup_prompts)
        text = "Warm-up prompts that Ollama refused."
        yield CounterMetricFamily("probe_agent_warmup_refused", text, value=record.warmup_refused)
        text = "Slots that hold the build's prompt cache."
        yield GaugeMetricFamily("probe_agent_prompt_cache_restored_slots", text, value=record.restored_slots)

    def _models(self) -> Iterator[Metric]:
        context = GaugeMetricFamily(
            "probe_agent_context_length", "Observed context, tokens per slot.", labels=["model"]
        )
        memory = GaugeMetricFamily("probe_agent_model_memory_bytes", "Memory of a loaded model.", labels=["model"])
        vram = GaugeMetricFamily("probe_agent_model_vram_bytes", "Its part in GPU memory.", labels=["model"])
        for name, model in self._supervisor.record.resident.items():
            context.add_metric([name], model.context_length or 0)
            memory.add_metric([name], model.memory_bytes)
            vram.add_metric([name], model.vram_bytes)
        yield from (context, memory, vram)


def exposition(registry: CollectorRegistry) -> bytes:
    """Return the text that Prometheus scrapes."""
    return generate_latest(registry)


def registry_of(supervisor: Controller) -> CollectorRegistry:
    """Return a registry of its own, without the process-wide default one."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(AgentCollector(supervisor))
    return registry


def held_probes(registry: CollectorRegistry) -> Gauge:
    """Return the count of startup probes that wait for READY; kept by the route that holds them."""
    return Gauge("probe_agent_held_probes", "Startup probes waiting for READY.", registry=registry)
