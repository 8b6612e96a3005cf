"""When a load may follow a loss: how long to wait, and what ends the wait early."""

import asyncio
from collections.abc import Callable

from probe_agent.readiness.backoff import Backoff
from probe_agent.readiness.running_models import RunningModels
from probe_agent.readiness.server_health import ServerHealth
from probe_agent.readiness.states import Kind, Observation
from probe_agent.settings import Settings
from probe_agent.variables import DriftPolicy

# In periods: the second reload waits one, none more than twelve; twelve without a reload are calm.
LONGEST_WAIT_PERIODS = 12
CALM_PERIODS = 12
# After these, a model that the list shows as wanted is back. A runner that died stays listed, so that after its loss
# a model only counts as back once the list has shown something else. A silent runner blocks the list itself.
BACK_WHEN_LISTED = frozenset({Kind.MODEL_EVICTED, Kind.CONTEXT_DRIFTED, Kind.OFFLOADED_TO_CPU, Kind.RUNNER_SILENT})


class ReloadPolicy:
    """Decides after each loss when to load again. `back_off` is shared with the monitor's questions, which may reload.

    Losses that a client may have caused wait by exponential back-off. A load that failed is tried again at once the
    first time, then after a period, or after as long as the failed load took.
    """

    def __init__(
        self, settings: Settings, running: RunningModels, health: ServerHealth, clock: Callable[[], float]
    ) -> None:
        period = settings.period_seconds
        self.back_off = Backoff(period, LONGEST_WAIT_PERIODS * period, CALM_PERIODS * period)
        self._settings = settings
        self._running = running
        self._health = health
        self._clock = clock
        self._load_at = self._began = clock()
        self._loss: Kind | None = None
        self._hands_off = False
        self._failed_loads = 0

    def lost(self, kind: Kind, *, startup_passed: bool, loading: bool, load_seconds: float) -> bool:
        """Note a loss or a failed load; return whether the agent is going to load again because of it.

        `startup_passed`: clients may use the model, and with the policy `report` their contexts are left alone.
        `loading`: Ollama loads already. `load_seconds` is how long the first load took.
        """
        now, period = self._clock(), self._settings.period_seconds
        waiting, self._loss = now < self._load_at, kind
        self._hands_off = startup_passed and self._settings.context_drift is DriftPolicy.REPORT
        if self._hands_off and kind is Kind.CONTEXT_DRIFTED:
            self._load_at = now + period  # nothing is going to be loaded, only looked at again
            return False
        if waiting:
            return False  # seen while another loss waits for its reload
        if loading:
            self._load_at = now  # waiting would only delay the proof
        elif kind is Kind.LOAD_FAILED:
            self._load_at = now + self._wait_after_failed_load(now)
        elif kind is Kind.MODEL_EVICTED and self._hands_off:
            # A client's reload looks like an eviction until it is done; twice the first load tells the two apart.
            self._load_at = now + max(self.back_off.wait(now), period + 2 * load_seconds)
        else:
            self._load_at = now + self.back_off.wait(now)
        return True

    def ready(self) -> None:
        """Note that the model became ready: the next failed load is the first again."""
        self._failed_loads = 0

    def server_down(self) -> None:
        """Note that Ollama is gone: its next start needs no wait."""
        self._load_at = self._clock()

    async def wait(self) -> Observation | None:
        """Return None when a load may begin, or drift that was observed meanwhile and explains the loss better.

        Looks once a period, so that a dead server is noticed, and a model that a client has loaded again ends the wait.
        """
        back_when_listed = self._loss in BACK_WHEN_LISTED
        while (left := self._load_at - self._clock()) > 0:
            finding = await self._running.look(self._settings.timeout_seconds)
            self._health.answered()
            if finding is None and back_when_listed:
                break
            back_when_listed = back_when_listed or finding is not None
            if finding is not None and self._explains(finding):
                return finding
            await asyncio.sleep(min(left, self._settings.period_seconds))
        self._began = self._load_at = self._clock()
        return None

    def _explains(self, finding: Observation) -> bool:
        return finding.kind is Kind.CONTEXT_DRIFTED and (self._hands_off or self._loss is not Kind.CONTEXT_DRIFTED)

    def _wait_after_failed_load(self, now: float) -> float:
        self._failed_loads += 1
        if self._failed_loads == 1:
            return 0.0
        period = self._settings.period_seconds
        return min(max(period, now - self._began), LONGEST_WAIT_PERIODS * period)
