"""How fast a soak goes: the agent's settings, the probe before the clients, what breaks and for how long. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import yaml

from lab.agent import UNSET, promised
from lab.faults.cells import KINDS, Fault

T = TypeVar("T")

SERVICE = Path(__file__).parents[2] / "service.yaml"
AGENT, PREFIX = "probe-agent", "PROBE_AGENT_"
# Settings that say where the agent is and with which model: here it is another place, and another model.
ELSEWHERE = {"MODEL", "DEVICE", "HOST", "PORT", "OLLAMA_URL", "RUNTIME_DIR"}
# The agent's limit on reloads may delay one by so many periods (ADR 3).
RELOAD_PERIODS = 12


@dataclass(frozen=True, slots=True)
class Gate:
    """A readiness probe as Cloud Run describes one, in its own words and seconds."""

    path: str
    period: float
    timeout: float
    failure_threshold: int
    success_threshold: int

    @property
    def promise(self) -> float:
        """Until traffic has stopped, once the agent answers 503: so many probes in a row must have been answered."""
        return self.period * self.failure_threshold


@dataclass(frozen=True, slots=True)
class Pace:
    """One way to soak. `fault_seconds` and `calm_seconds` are the bounds of what is drawn evenly."""

    name: str
    settings: Mapping[str, str]
    gate: Gate
    fault_seconds: tuple[float, float]
    calm_seconds: tuple[float, float]
    # Of the scripted stand-in.
    load_seconds: float
    # Most failures of the client that obeys readiness, for one of the other. With an agent that never falls: 1.7.
    failed_share: float

    @property
    def period(self) -> float:
        """Between two looks of the agent at Ollama."""
        return float(self.settings["PERIOD_SECONDS"])

    @property
    def promise(self) -> float:
        """The agent's: from a loss until /readyz is 503."""
        return promised(**{**UNSET, **self.settings})

    @property
    def back_seconds(self) -> float:
        """Longest way back to READY: the limit on reloads, two loads (one may be aborted), and room for the rest."""
        return RELOAD_PERIODS * self.period + 2 * self.load_seconds + 10


# Many faults in an hour: the least period that Cloud Run allows for a probe, and an agent to match.
QUICK = Pace(
    name="quick",
    settings={
        "PERIOD_SECONDS": "1",
        "TIMEOUT_SECONDS": "0.5",
        "FAILURE_THRESHOLD": "2",
        "STARTUP_TIMEOUT_SECONDS": "60",
    },
    gate=Gate("/readyz", period=1, timeout=1, failure_threshold=1, success_threshold=1),
    fault_seconds=(2, 15),
    calm_seconds=(2, 8),
    load_seconds=3,
    failed_share=0.75,
)


def shipped(text: str) -> Pace:
    """Return the pace of the service in `text`: its agent's settings, and its readiness probe."""
    containers: list[dict[str, Any]] = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    probe = next(each["readinessProbe"] for each in containers if "readinessProbe" in each)
    agent = next(each["env"] for each in containers if each["name"] == AGENT)
    given = {each["name"].removeprefix(PREFIX): each["value"] for each in agent if each["name"].startswith(PREFIX)}
    return Pace(
        name="shipped",
        settings={name: value for name, value in given.items() if name not in ELSEWHERE},
        gate=Gate(
            probe["httpGet"]["path"],
            period=probe["periodSeconds"],
            timeout=probe["timeoutSeconds"],
            failure_threshold=probe["failureThreshold"],
            success_threshold=probe["successThreshold"],
        ),
        fault_seconds=(10, 60),
        calm_seconds=(10, 40),
        load_seconds=10,
        failed_share=0.9,  # traffic goes on for half of a fault of 35 s, and a port that is shut stops TCP's sooner
    )


def faults(draw: Random) -> Iterator[Fault]:
    """Yield faults without end: every kind once, in a new order, then again; so too the faults within each kind."""
    turns = [_shuffled(kind, draw) for kind in KINDS]
    for turn in _shuffled(turns, draw):
        yield next(turn)


def _shuffled(things: Sequence[T], draw: Random) -> Iterator[T]:
    while True:
        yield from draw.sample(things, len(things))
