"""The gateway's metrics: OpenTelemetry's GenAI histograms by their names and buckets, and our own for the queue.

https://github.com/open-telemetry/semantic-conventions-genai (development status, read in November 2026).
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from probe_agent.gateway.admission import Admission
from probe_agent.gateway.exchange import Exchange
from probe_agent.gateway.upstream import Upstream

DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
# The convention's buckets end at 10 s; a request that queues or meets a long prompt takes longer.
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
PROVIDER = "ollama"
LABELS = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "tenant")


class GatewayMetrics:
    """Observes each exchange at its end; queue, slots and retries are read at each scrape."""

    def __init__(self, registry: CollectorRegistry, admission: Admission, upstream: Upstream) -> None:
        text = "Seconds from a request's arrival to the end of its answer."
        self._duration = Histogram(
            "gen_ai_server_request_duration_seconds",
            text,
            (*LABELS, "error_type"),
            buckets=DURATION,
            registry=registry,
        )
        text = "Seconds from a request's arrival to the first part of its answer."
        self._first = Histogram(
            "gen_ai_server_time_to_first_token_seconds", text, LABELS, buckets=FIRST_TOKEN, registry=registry
        )
        text = "Seconds for each token after the first."
        self._per_token = Histogram(
            "gen_ai_server_time_per_output_token_seconds", text, LABELS, buckets=PER_TOKEN, registry=registry
        )
        text = "Seconds a request waited for a slot."
        self._queue = Histogram(
            "probe_agent_gateway_queue_seconds", text, ("tenant",), buckets=FIRST_TOKEN, registry=registry
        )
        self._tokens = Counter(
            "probe_agent_gateway_tokens", "Tokens of prompts and answers.", (*LABELS, "direction"), registry=registry
        )
        self._refused = Counter(
            "probe_agent_gateway_refused", "Requests refused, by kind.", ("kind", "tenant"), registry=registry
        )
        self._changed = Counter(
            "probe_agent_gateway_changed", "Fields changed to keep a pin.", ("field", "tenant"), registry=registry
        )
        registry.register(_Now(admission, upstream))

    def observe(self, exchange: Exchange, *, refused: bool) -> None:
        """Count one exchange that has ended."""
        if refused:
            self._refused.labels(exchange.outcome, exchange.tenant).inc()
        if exchange.route is None or not exchange.route.operation or exchange.ended is None:
            return
        labels = (exchange.route.operation, PROVIDER, exchange.model, exchange.tenant)
        error = "" if exchange.outcome == "ok" else exchange.outcome
        self._duration.labels(*labels, error).observe(exchange.ended - exchange.began)
        if refused:
            return
        self._queue.labels(exchange.tenant).observe(exchange.queue_seconds)
        if exchange.first_byte is not None:
            self._first.labels(*labels).observe(exchange.first_byte - exchange.began)
        for direction, count in (("input", exchange.prompt_tokens), ("output", exchange.answer_tokens)):
            if count is not None:
                self._tokens.labels(*labels, direction).inc(count)
        if exchange.first_byte is not None and exchange.answer_tokens and exchange.answer_tokens > 1:
            seconds = (exchange.ended - exchange.first_byte) / (exchange.answer_tokens - 1)
            self._per_token.labels(*labels).observe(seconds)
        if exchange.pinned is not None:
            for change in exchange.pinned.changed:
                self._changed.labels(change.partition("=")[0].partition(" ")[0], exchange.tenant).inc()


class _Now(Collector):
    """What is true at the moment of a scrape."""

    def __init__(self, admission: Admission, upstream: Upstream) -> None:
        self._admission = admission
        self._upstream = upstream

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        now = self._admission
        yield GaugeMetricFamily("probe_agent_gateway_running", "Requests that hold a slot.", value=now.running)
        yield GaugeMetricFamily("probe_agent_gateway_waiting", "Requests that wait for a slot.", value=now.waiting)
        # An honest stand-in for the use of the KV cache, which Ollama does not show.
        share = now.running / now.slots
        yield GaugeMetricFamily("probe_agent_gateway_slots_used_ratio", "Slots in use, 0 to 1.", value=share)
        text = "Requests sent again on a new connection, because a kept one was dead."
        yield CounterMetricFamily("probe_agent_gateway_upstream_retries", text, value=self._upstream.retries)
