"""What a run is made of, for whoever shows or reports it."""

from __future__ import annotations

from dataclasses import dataclass

from ops.up.agent_status import AgentWatch
from ops.up.front import IngressFront
from ops.up.gate import Gate
from ops.up.instance import Instance
from ops.up.journal import Journal
from ops.up.options import Options
from ops.up.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRun:
    """One run. `url` is the ingress's; `agent` is None when no container of the service is the agent."""

    plan: Plan
    options: Options
    url: str
    gate: Gate
    front: IngressFront
    instance: Instance
    agent: AgentWatch | None
    journal: Journal
