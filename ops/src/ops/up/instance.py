"""One instance of the service: its containers, their probes, and the gate; started, watched, and stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ops.service.containers import Container
from ops.up import probing, volumes
from ops.up.errors import InstanceError
from ops.up.gate import Gate
from ops.up.journal import Journal, Kind
from ops.up.keeper import Keeper
from ops.up.options import Gating
from ops.up.plan import Plan
from ops.up.probing import Prober
from ops.up.process import ContainerProcess, exit_reason

# From SIGTERM to SIGKILL (Cloud Run's container contract).
STOP_SECONDS = 10.0


class Instance:
    """Runs the containers of a plan. A failure of any of them ends all: restarting is not done here."""

    def __init__(
        self, plan: Plan, gate: Gate, journal: Journal, *, gating: Gating, show: Callable[[str, str], None]
    ) -> None:
        self._plan = plan
        self._gate = gate
        self._journal = journal
        self._hurry = asyncio.Event()
        self._keeper = Keeper()
        self._prober = Prober()
        self._containers = plan.service.containers
        self.processes = {container.name: ContainerProcess(container.name, show) for container in self._containers}
        self._passed = {container.name: asyncio.Event() for container in self._containers}
        ingress = plan.service.ingress
        self._gating = [c for c in self._containers if gating is Gating.ALL or c is ingress]

    async def run(self) -> None:
        """Start everything and watch it until cancelled; processes, then folders, are gone when this returns or raises.

        Raises:
            InstanceError: a container ended, or a startup or liveness probe failed for good.
            LaunchError: a container could not be started, or a volume's folder not be made.

        """
        with self._keeper, volumes.made(self._plan.folders, self._keeper.folder):
            try:
                async with asyncio.TaskGroup() as group:
                    for container in self._containers:
                        group.create_task(self._run(container))
                    group.create_task(self._open_gate())
            except ExceptionGroup as failures:
                raise first_of(failures) from None
            finally:
                await self._stopped()

    def hurry(self) -> None:
        """Do not wait for containers to end: kill them now."""
        self._hurry.set()

    async def _run(self, container: Container) -> None:
        for name in container.depends_on:
            await self._passed[name].wait()
        process = self.processes[container.name]
        runtime = self._plan.runtimes[container.name]
        self._keeper.group(await process.start(runtime.argv, self._plan.environments[container.name]))
        self._journal.note(Kind.CONTAINER_STARTED, container.name)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._fail_at_exit(process))
            await self._startup(container)
            group.create_task(self._liveness(container))
            group.create_task(self._readiness(container))

    async def _fail_at_exit(self, process: ContainerProcess) -> None:
        status = await process.wait()
        tail = "".join(f"\n    {line}" for line in process.tail)
        said = f"; its last output:{tail}" if tail else " without a word"
        raise InstanceError(f"container {process.name!r} {exit_reason(status)}{said}")

    async def _startup(self, container: Container) -> None:
        if container.startup:
            asked = await probing.until_passed(container.name, container.startup, self._prober)
            self._journal.note(Kind.STARTUP_PASSED, f"{container.name} ({container.startup}, asked {asked} times)")
        self._passed[container.name].set()

    async def _open_gate(self) -> None:
        for container in self._gating:
            await self._passed[container.name].wait()
        self._gate.open()
        self._journal.note(Kind.GATE_OPEN)

    async def _liveness(self, container: Container) -> None:
        if container.liveness is None:
            return
        async for _, answer in probing.verdicts(container.liveness, self._prober):
            self.hurry()  # the platform kills such an instance outright
            raise InstanceError(
                f"container {container.name!r}: its liveness probe ({container.liveness}) failed "
                f"{container.liveness.failure_threshold} times in a row; the instance was killed (Cloud Run would "
                f"restart it, ops up does not); last answer: {answer}"
            )

    async def _readiness(self, container: Container) -> None:
        if container.readiness is None or container.port is None:
            return
        async for ready, answer in probing.verdicts(container.readiness, self._prober):
            self._gate.ready = ready
            kind = Kind.READY_AGAIN if ready else Kind.NOT_READY
            self._journal.note(kind, f"{container.name} ({container.readiness}: {answer})")

    async def _stopped(self) -> None:
        """Stop, whatever happens meanwhile: who is cancelled here is in a hurry, and gets no process left behind."""
        stopping = asyncio.create_task(self._stop())
        while not stopping.done():
            try:
                await asyncio.wait({stopping})
            except asyncio.CancelledError:
                self.hurry()
        stopping.result()

    async def _stop(self) -> None:
        """End all containers at once; what goes wrong with one does not keep the others."""
        self._journal.note(Kind.STOPPING)
        started = [process for process in self.processes.values() if process.pid]
        outcomes = await asyncio.gather(*map(self._end, started), self._prober.close(), return_exceptions=True)
        for error in filter(None, outcomes):
            raise error

    async def _end(self, process: ContainerProcess) -> None:
        """SIGTERM, and after 10 s, or at once in a hurry, SIGKILL to what is left of the container."""
        ended = asyncio.create_task(process.wait())
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            if not self._hurry.is_set():
                process.terminate()
            await asyncio.wait({ended, hurry}, timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                self._journal.note(Kind.KILLED, f"{process.name}, which had not ended")
        finally:
            process.kill()
            hurry.cancel()
            await process.close()
            await ended
            if process.pid:
                self._keeper.ended(process.pid)


def first_of(failures: ExceptionGroup[Exception]) -> Exception:
    """Return the failure that came first: the others follow from it."""
    first: Exception = failures
    while isinstance(first, ExceptionGroup):
        first = first.exceptions[0]
    return first
