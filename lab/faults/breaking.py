"""One cell, run: the agent is brought into the state and held there, the fault comes and goes, all is witnessed."""

from __future__ import annotations

import contextlib
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.buckets import BUCKET, BucketServer
from lab.faults.cells import (
    CALM_CHECKS,
    CALM_SECONDS,
    EXIT_SECONDS,
    EXITED,
    HARMLESS,
    KILLED,
    MENDED_SECONDS,
    ON_THE_WIRE,
    STUCK,
    THE_RUNNERS,
    Calm,
    Cell,
    Fault,
    Outcome,
    Proof,
    S,
)
from lab.faults.proxy import Wire, WireFault
from lab.faults.subjects import Subject
from lab.faults.watched import WatchedAgent, Witness
from lab.servers import wait_until
from lab.stores import write_store

# Of what stops the agent itself: two probes with a second's patience, one after the other, fall wholly into it.
STUCK_SECONDS = 3.2
# From a fault to SIGTERM: the agent has met it at least once.
BEFORE_SECONDS = 0.25
# For the agent to reach a state, on a busy machine.
REACH_SECONDS = 20.0
# The fault stays on at most so long until a READY agent has noticed it.
NOTICE_SECONDS = 8.0
JUMP_SECONDS = 86_400.0
# A name that only the shim resolves; see there.
NAMED = "ollama.localhost"
# One megabyte: far beyond the size that files may have where the disk is full.
WEIGHTS = b"weights " * (1 << 17)
FULL_BYTES = 4096
# The answers that are kept back to hold the agent in a state; the requests get through.
HELD = {S.VERIFYING: "/api/tags", S.LOADING: "/api/generate", S.WARMING: "/api/chat"}


@dataclass(frozen=True, slots=True)
class Lane:
    """What one cell after the other uses: a server, a bucket, and a wire before each."""

    subject: Subject
    wire: Wire
    bucket: BucketServer
    bucket_wire: Wire
    home: Path
    digest: str

    def clear(self) -> None:
        """As if nothing had been: nothing is broken, nothing loaded."""
        self.wire.mend()
        self.bucket_wire.mend()
        self.bucket.asked.clear()
        self.subject.mend()
        self.subject.unload()


@contextlib.contextmanager
def lane(home: Path, subject_of: Callable[[Path, str], contextlib.AbstractContextManager[Subject]]) -> Iterator[Lane]:
    """Start a server in `home`, and the rest of its lane."""
    digest = write_store(home / "bucket" / "p", weights=WEIGHTS).digest
    with (
        subject_of(home, digest) as subject,
        BucketServer(home / "bucket") as bucket,
        Wire(subject.port) as wire,
        Wire(int(bucket.url.rpartition(":")[2])) as bucket_wire,
    ):
        yield Lane(subject, wire, bucket, bucket_wire, home, digest)


def run(cell: Cell, on: Lane) -> Outcome:
    """Run one cell; AssertionError when its state cannot even be reached."""
    on.clear()
    if cell.state is S.UNREACHABLE:
        on.wire.break_by(WireFault.REFUSE)
    on.wire.hold(HELD.get(cell.state, ""))
    on.bucket_wire.hold("blobs" if cell.state is S.FETCHING else "")
    with agent_for(cell, on) as agent:
        reach = S.READY if cell.state is S.STOPPING else cell.state
        wait_until(lambda: agent.state() == reach, REACH_SECONDS, f"{reach}; the agent said:\n{agent.log[-2000:]}")
        if cell.state is S.FETCHING and cell.fault is not Fault.EMFILE:  # that one comes while libraries are imported
            wait_until(lambda: any("blobs" in name for name in on.bucket.asked), REACH_SECONDS, "a download")
        if cell.state in (S.LOADING, S.WARMING) and cell.fault in THE_RUNNERS:
            wait_until(on.subject.loaded, REACH_SECONDS, "a runner")
        memory, before = agent.most_memory(), len(agent.falls())
        with Witness(agent.port) as witness:
            over, ended, back = (_stopped if cell.state is S.STOPPING else _endured)(cell, on, agent, witness)
            grown, fell = agent.most_memory() - memory, agent.falls()[before:]
            proof, calm = (on.subject.proof(), _calm(agent)) if ended == S.READY else (Proof(), Calm())
        log = agent.log
    return Outcome(cell, witness.samples, on.subject.promise, over, ended, back, fell, proof, calm, grown, log)


def _calm(agent: WatchedAgent) -> Calm:
    """Let the agent watch the mended server for a while."""
    checks, falls = agent.checks(), len(agent.falls())
    with contextlib.suppress(AssertionError):
        wait_until(lambda: agent.checks() >= checks + CALM_CHECKS, CALM_SECONDS)
    return Calm(agent.checks() - checks, len(agent.falls()) - falls)


def agent_for(cell: Cell, on: Lane, **settings: str) -> WatchedAgent:
    """Return an agent that the cell's fault can reach; `settings` go before those of the lane's server."""
    environ = {"MODEL": on.subject.pinned, **on.subject.settings, **settings}
    named = cell.fault is Fault.DNS_FAILURE
    url = on.wire.url.replace("127.0.0.1", NAMED) if named and cell.state is not S.FETCHING else on.wire.url
    bucket = on.bucket_wire.url.replace("127.0.0.1", NAMED) if named else on.bucket_wire.url
    if cell.state is S.FAILED:
        environ["MODEL_DIGEST"] = "ab" * 32
    if cell.state is S.FETCHING:
        store = on.home / f"store-{cell.fault}-{time.monotonic_ns()}"
        environ |= {"MODEL_SOURCE": "gcs", "MODEL_BUCKET": f"gs://{BUCKET}/p", "MODEL_STORE": str(store)}
        store.mkdir()
    return WatchedAgent(url, on.home, bucket, **environ)


def _endured(cell: Cell, on: Lane, agent: WatchedAgent, witness: Witness) -> tuple[float, str, float]:
    """Let the fault come and go; return when it was over, and in which state the agent ended, how long after."""
    witness.begin()
    with broken(cell, on, agent):
        _pass(STUCK_SECONDS if cell.fault in STUCK else on.subject.fault_seconds)
        if cell.state is S.READY and cell.fault not in HARMLESS:
            witness.first(lambda said: said.ready != 200, within=NOTICE_SECONDS)
    on.wire.mend()
    on.bucket_wire.mend()
    over = witness.now
    expected = S.FAILED if cell.state is S.FAILED else S.READY
    with contextlib.suppress(AssertionError):
        wait_until(lambda: agent.state() == expected, MENDED_SECONDS)
    return over, agent.state() or "no answer", witness.now - over


def _stopped(cell: Cell, on: Lane, agent: WatchedAgent, witness: Witness) -> tuple[float, str, float]:
    """Let the fault come, then SIGTERM; it stays on until the agent has ended."""
    with broken(cell, on, agent):
        _pass(BEFORE_SECONDS)
        witness.begin()
        agent.process.send_signal(signal.SIGTERM)
        try:
            status = agent.process.wait(2 * EXIT_SECONDS + STUCK_SECONDS)
        except subprocess.TimeoutExpired:
            return witness.now, KILLED, witness.now
        ended = witness.now
    # A stalled loop can only hear when it goes on.
    took = max(0.0, ended - STUCK_SECONDS + BEFORE_SECONDS) if cell.fault is Fault.STALL else ended
    return ended, EXITED if status == 0 else f"exit {status}", took


def _pass(seconds: float) -> None:
    """Let the fault last: its length is what the cell is about."""
    time.sleep(seconds)


@contextlib.contextmanager
def broken(cell: Cell, on: Lane, agent: WatchedAgent) -> Iterator[None]:
    """Break what the fault names, as long as the block. In FETCHING the wire is the one to the bucket."""
    fault, fetching = cell.fault, cell.state is S.FETCHING
    if fault in ON_THE_WIRE:
        (on.bucket_wire if fetching else on.wire).break_by(ON_THE_WIRE[fault])
        yield
    elif fault in (Fault.PROCESS_KILLED, Fault.PROCESS_STOPPED, *THE_RUNNERS):
        with _server_broken(fault, on):
            yield
    elif fault in STUCK:
        with _stuck(fault, agent):
            yield
    elif fault is Fault.CLOCK_JUMP:
        agent.shim(clock=JUMP_SECONDS)
        yield
        agent.shim(clock=-JUMP_SECONDS)
    elif fault is Fault.DNS_FAILURE:
        agent.shim(dns=False)
        _cut(on.bucket_wire if fetching else on.wire, on)
        yield
        agent.shim(dns=True)
    else:
        assert fault is Fault.DISK_FULL
        with agent.limited(resource.RLIMIT_FSIZE, FULL_BYTES):
            if fetching:
                on.bucket_wire.hold("")  # for the weights to come, and to find no room
            yield


def _cut(wire: Wire, on: Lane) -> None:
    """Break what is under way once, so that the name is needed again."""
    if wire is on.bucket_wire:
        wire.break_by(WireFault.RESET)
        wire.break_by(None)


@contextlib.contextmanager
def _server_broken(fault: Fault, on: Lane) -> Iterator[None]:
    match fault:
        case Fault.PROCESS_KILLED:
            on.subject.kill()
            on.wire.break_by(WireFault.REFUSE)
        case Fault.PROCESS_STOPPED:
            on.subject.stop()
            on.wire.break_by(None)  # where it was refused, it is now met standing still
        case Fault.RUNNER_KILLED:
            on.subject.runner("kill")
        case _:
            on.subject.runner("hang")
    yield
    on.subject.runner("resume") if fault is Fault.RUNNER_STOPPED else on.subject.mend()


@contextlib.contextmanager
def _stuck(fault: Fault, agent: WatchedAgent) -> Iterator[None]:
    if fault is Fault.STALL:
        agent.shim(stall=STUCK_SECONDS)
        yield
    else:
        with agent.limited(resource.RLIMIT_NOFILE, 3):  # every number that is free lies above
            yield
