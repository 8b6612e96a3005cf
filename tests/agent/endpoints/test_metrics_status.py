"""What `/status`, the probes' bodies and `/metrics` say, made from a controller's state."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from probe_agent import __version__
from probe_agent.endpoints import metrics
from probe_agent.endpoints.status import status, summary
from probe_agent.ollama.types import ModelSpec, RunningModel, StoredModel
from probe_agent.readiness.cold_start import Phase
from probe_agent.readiness.controller import Controller
from probe_agent.readiness.observed import Observed
from probe_agent.readiness.states import Kind, Observation, ReadinessState
from tests.agent.conftest import Clock

DIGEST = "9521" * 16
STORED = StoredModel(name="smollm2:latest", digest=DIGEST, size_bytes=98_000_000, format="gguf", quantization="Q4_1")
RESIDENT = RunningModel(
    name="smollm2:latest",
    digest=DIGEST,
    memory_bytes=200_000_000,
    vram_bytes=50_000_000,
    context_length=8192,
    expires_at=None,
)
NEVER_SEEN = {
    "digest": None,
    "size_bytes": None,
    "context_length": None,
    "memory_bytes": None,
    "vram_bytes": None,
    "device": None,
}


def bring_up(controller: Controller, clock: Clock) -> None:
    """Let the controller see a whole start: 0.1 s to the port, 2 s of load, ready after 3 s."""
    observed = controller.observed
    for phase, at in [(Phase.PORT_OPEN, 0.1), (Phase.API_ANSWERS, 0.3), (Phase.MODEL_VERIFIED, 0.5)]:
        observed.mark(phase, 1000.0 + at)
    observed.mark(Phase.LOAD, 1002.5, loaded_bytes=98_000_000)
    observed.ollama_version = "0.32.15"
    observed.stored["smollm2"], observed.running["smollm2"] = STORED, RESIDENT
    clock.now = 1003.0
    for kind in (Kind.SERVER_UP, Kind.MODEL_VERIFIED, Kind.MODEL_LOADED, Kind.WARM_UP_DONE):
        controller._observe(Observation(kind=kind, reason="as it should be", tokens=(1,)))


def scraped(controller: Controller) -> dict[str, float]:
    """Return every sample of a scrape by its name and labels, as Prometheus reads them."""
    text = metrics.exposition(metrics.registry_of(controller.view)).decode()
    return {
        sample.name + "".join(f"{{{name}={label}}}" for name, label in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_summary_says_state_reason_action_and_since(controller: Controller, clock: Clock) -> None:
    """A probe's body names the state, why it is so, since when, and what to do."""
    clock.now += 12.3456
    said = summary(controller.view())

    assert said["state"] == "UNREACHABLE"
    assert said["reason"] == "waiting for Ollama at http://127.0.0.1:11434"
    assert said["action"]
    assert said["since_seconds"] == 12.346
    since = datetime.fromisoformat(said["since"])
    assert said["since"].endswith("Z")
    assert abs(datetime.now(UTC) - since - timedelta(seconds=12.3456)) < timedelta(seconds=5)


def test_at_first_the_status_knows_little(controller: Controller) -> None:
    """Before Ollama was seen the status has its whole shape, and null for all that is not known."""
    said = status(controller.view())

    assert (said["startup"], said["epoch"]) == (False, 0)
    assert said["agent"] == {"version": __version__, "uptime_seconds": 0.0}
    assert said["ollama"] == {"url": "http://127.0.0.1:11434", "version": None}
    assert said["models"] == [
        {"model": "smollm2", "num_ctx": 8192, **NEVER_SEEN},
        {"model": "embeddinggemma", "num_ctx": 2048, **NEVER_SEEN},
    ]
    assert [entry["phase"] for entry in said["waterfall"]["phases"]] == ["agent_up"]
    assert said["watch"] == {"failures_in_a_row": 0, "last_check_seconds_ago": None, "reloads": 0}


def test_when_ready_the_status_knows_all(controller: Controller, clock: Clock) -> None:
    """A ready instance's status shows the models as stored, loaded and proven, the waterfall and the watch."""
    bring_up(controller, clock)
    controller.observed.last_check = 1004.0
    controller.observed.reloads.update(["ModelEvicted", "ContextDrifted", "ModelEvicted"])
    clock.now = 1005.5
    said = status(controller.view())

    assert (said["state"], said["startup"], said["epoch"], said["since_seconds"]) == ("READY", True, 1, 2.5)
    assert said["ollama"]["version"] == "0.32.15"
    assert said["agent"]["uptime_seconds"] == 5.5
    assert said["models"][0] == {
        "model": "smollm2",
        "num_ctx": 8192,
        "digest": DIGEST,
        "size_bytes": 98_000_000,
        "context_length": 8192,
        "memory_bytes": 200_000_000,
        "vram_bytes": 50_000_000,
        "device": "cpu+gpu",
    }
    assert said["waterfall"]["gap_seconds"] == 2.9
    assert said["waterfall"]["load_bytes_per_second"] == 49e6
    assert said["watch"] == {"failures_in_a_row": 0, "last_check_seconds_ago": 1.5, "reloads": 3}


def test_the_status_is_json(controller: Controller, clock: Clock) -> None:
    """The status can be written as strict JSON at every stage."""
    json.dumps(status(controller.view()), allow_nan=False)
    bring_up(controller, clock)
    json.dumps(status(controller.view()), allow_nan=False)


@pytest.mark.parametrize("seen", [4096, None])
def test_a_context_that_nobody_chose_is_the_proven_one(seen: int | None) -> None:
    """A model without a pinned context keeps the one that it was proven with; the wanted models stay as they are."""
    models = (ModelSpec("smollm2"), ModelSpec("other", 2048))
    observed = Observed.begin(0.0, models)
    observed.running["smollm2"] = observed.running["other"] = replace(RESIDENT, context_length=seen)

    observed.keep_contexts()

    assert [observed.num_ctx(spec) for spec in models] == [seen, 2048]
    assert observed.models == models


def test_metrics_at_first(controller: Controller) -> None:
    """Before anything is seen the metrics say not ready, the state, and that nothing was checked."""
    samples = scraped(controller)

    assert samples["probe_agent_ready"] == 0
    assert samples["probe_agent_state{state=UNREACHABLE}"] == 1
    assert sum(samples[f"probe_agent_state{{state={state}}}"] for state in ReadinessState) == 1
    assert samples["probe_agent_startup_phase_seconds{phase=agent_up}"] == 0
    assert samples["probe_agent_checks_total"] == 0
    assert "probe_agent_startup_gap_seconds" not in samples
    assert "probe_agent_load_bytes_per_second" not in samples


def test_metrics_when_ready(controller: Controller, clock: Clock) -> None:
    """A ready instance's metrics have the state, the cold start, and the models' context and memory."""
    bring_up(controller, clock)
    samples = scraped(controller)

    assert samples["probe_agent_ready"] == 1
    assert samples["probe_agent_state{state=READY}"] == 1
    assert samples["probe_agent_transitions_total{from_state=WARMING}{to_state=READY}"] == 1
    assert samples["probe_agent_startup_phase_seconds{phase=load}"] == pytest.approx(2.0)
    assert samples["probe_agent_startup_gap_seconds"] == pytest.approx(2.9)
    assert samples["probe_agent_load_bytes_per_second"] == pytest.approx(49e6)
    assert samples["probe_agent_context_length{model=smollm2}"] == 8192
    assert samples["probe_agent_model_memory_bytes{model=smollm2}"] == 200_000_000
    assert samples["probe_agent_model_vram_bytes{model=smollm2}"] == 50_000_000


def test_metrics_count_what_the_record_counts(controller: Controller) -> None:
    """Every count of the record is a counter, with its kind or cause as label."""
    observed = controller.observed
    observed.checks, observed.check_seconds, observed.unpinned = 7, 0.25, 2
    observed.warmup_prompts, observed.warmup_refused = 9, 1
    observed.failures["ServerTimeout"] = 3
    observed.reloads["ModelEvicted"] = 4
    observed.running["smollm2"] = replace(RESIDENT, context_length=None)
    samples = scraped(controller)

    assert samples["probe_agent_checks_total"] == 7
    assert samples["probe_agent_check_seconds_total"] == 0.25
    assert samples["probe_agent_unpinned_total"] == 2
    assert samples["probe_agent_warmup_prompts_total"] == 9
    assert samples["probe_agent_warmup_refused_total"] == 1
    assert samples["probe_agent_failures_total{kind=ServerTimeout}"] == 3
    assert samples["probe_agent_reloads_total{cause=ModelEvicted}"] == 4
    assert samples["probe_agent_context_length{model=smollm2}"] == 0


def test_each_scrape_reads_anew(controller: Controller) -> None:
    """One registry shows the state at the moment of each scrape."""
    registry = metrics.registry_of(controller.view)
    assert b'probe_agent_state{state="STOPPING"} 0.0' in metrics.exposition(registry)

    controller._observe(Observation(kind=Kind.STOP_REQUESTED, reason="SIGTERM received"))

    assert b'probe_agent_state{state="STOPPING"} 1.0' in metrics.exposition(registry)


def test_every_metric_has_a_help_text_and_our_prefix(controller: Controller, clock: Clock) -> None:
    """Every metric is named probe_agent_ and explained."""
    bring_up(controller, clock)

    for family in text_string_to_metric_families(metrics.exposition(metrics.registry_of(controller.view)).decode()):
        assert family.name.startswith("probe_agent_")
        assert family.documentation.endswith(".")
