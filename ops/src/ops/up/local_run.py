"""A run of the service: front, instance and the watch on the agent, put together and taken down as one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from ops.up.agent_status import AgentWatch
from ops.up.front import IngressFront
from ops.up.front_server import serving
from ops.up.gate import Gate
from ops.up.instance import Instance, first_of
from ops.up.journal import Journal
from ops.up.options import Options
from ops.up.plan import Plan
from ops.up.run_state import LocalRun
from ops.up.screen import Screen


@contextlib.asynccontextmanager
async def running(plan: Plan, options: Options, screen: Screen) -> AsyncIterator[LocalRun]:
    """Run the service for as long as the body lasts; a failing instance cancels the body and is raised.

    Raises:
        UpError: the instance failed, or could not be started.

    """
    gate = Gate()
    journal = Journal(screen.event)
    service = plan.service
    front = IngressFront(
        plan.upstream_url, gate, concurrency=service.concurrency, timeout_seconds=service.timeout_seconds
    )
    agent = AgentWatch(plan.agent_url, screen.status) if plan.agent_url else None
    instance = Instance(plan, gate, journal, gating=options.gating, show=screen.output)
    try:
        async with serving(front, options.port) as url, asyncio.TaskGroup() as group:
            tasks = [group.create_task(instance.run())]
            if agent:
                tasks.append(group.create_task(agent.run()))
            local = LocalRun(
                plan=plan,
                options=options,
                url=url,
                gate=gate,
                front=front,
                instance=instance,
                agent=agent,
                journal=journal,
            )
            yield local
            for task in tasks:
                task.cancel()
    except ExceptionGroup as failures:
        raise first_of(failures) from None
