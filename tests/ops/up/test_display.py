"""The live line, the printer, and what a chat makes of a foreign answer."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from io import StringIO
from typing import Any, cast

import pytest
from rich.console import Console
from rich.text import Text

from lab.servers import LoopbackServer
from ops import console
from ops.console import Printer
from ops.up import once, waterfall
from ops.up.agent_status import AgentStatus, parse
from ops.up.checklist import Checklist
from ops.up.errors import ChatError
from ops.up.front import IngressFront
from ops.up.gate import Gate
from ops.up.journal import Event, Kind
from ops.up.run_state import LocalRun
from ops.up.screen import Screen
from probe_agent.readiness import cold_start as waterfall_phases


class Run:
    """What the live line reads of a run."""

    url = "http://127.0.0.1:8080"

    def __init__(self) -> None:
        self.gate = Gate()
        self.front = IngressFront("http://127.0.0.1:1", self.gate, concurrency=8, timeout_seconds=1)


def line(monkeypatch: pytest.MonkeyPatch, *, ready: bool = True, age: float = 0.0) -> str:
    """Return the live line of a served model, the agent's READY being so many seconds old."""
    monkeypatch.setattr(time, "time", lambda: 1000.0 + age)
    run = Run()
    run.gate.ready = ready
    steps = Checklist(local=cast("LocalRun", run))
    steps.event(Event(Kind.GATE_OPEN, "", 1000.0))
    steps.status(replace(status("READY", phase="ready"), received_at=1000.0))
    return drawn(steps)


def status(state: str, *, phase: str = "api_answers", **body: Any) -> AgentStatus:
    """Return what the agent says in a state, a phase being the last that it has reached."""
    fall = {"phases": [{"phase": phase, "at_seconds": 1.0, "seconds": 1.0}]}
    said = {"state": state, "since": "2026-11-25T00:00:00Z", "agent": {"uptime_seconds": 1}, "waterfall": fall, **body}
    return parse(said)


def drawn(steps: Checklist) -> str:
    """Return the checklist as it is seen."""
    Console(file=(shown := StringIO()), width=200).print(steps)
    return shown.getvalue()


def test_a_fetch_is_shown_with_its_bytes() -> None:
    """While the model is on its way the step says how far it is."""
    steps = Checklist()
    source = {"source": "gcs", "done_bytes": 101_000_000, "total_bytes": 4_000_000_000}
    steps.status(status("FETCHING", reason="waiting for source gcs", source=source))

    assert "model fetched" in drawn(steps)
    assert "FETCHING: waiting for source gcs (101 of 4,000 MB)" in drawn(steps)


def test_a_model_in_the_image_is_not_waited_for() -> None:
    """Without a source there is no step for it."""
    steps = Checklist()
    steps.status(status("LOADING", reason="loading m", source=None, models=[{"size_bytes": 98_000_000}]))

    assert "model fetched" not in drawn(steps)
    assert "LOADING: loading m (98 MB)" in drawn(steps)


def test_the_summary_tells_of_the_restored_prompt_cache() -> None:
    """Who baked a cache into the image sees whether it was used."""
    restored = status("READY", phase="ready", prompt_cache={"restored_slots": 4})

    assert waterfall.summary(restored, closed=True) == "prompt cache restored to 4 slots"


def test_line_says_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """An open gate and a ready agent are READY."""
    assert line(monkeypatch).startswith("● READY · http")


def test_line_says_what_clients_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the front answers 503 the line is not READY, whatever the agent said last."""
    assert line(monkeypatch, ready=False).startswith("● NOT READY: requests get 503 (agent: READY)")


def test_line_says_how_old_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A status that nobody has confirmed for seconds is marked."""
    assert "agent silent for 7 s" in line(monkeypatch, age=7.0)
    assert "silent" not in line(monkeypatch, age=1.5)


class Stuck(StringIO):
    """Output whose reader stands still until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        """Wait like a full pipe."""
        self.writing.set()
        self.released.wait(10)
        return super().write(text)


def test_too_much_output_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the reader stands still, containers' lines beyond the limit are dropped; the next one says how many."""
    monkeypatch.setattr(console, "LINES", 3)
    lines = Printer(Console(file=(file := Stuck()), width=200))
    lines.print("first")
    file.writing.wait(10)
    for number in range(5):
        lines.output(Text(f"line {number}"))
    lines.print("our own")
    file.released.set()
    while lines._queue.qsize():
        threading.Event().wait(0.001)
    lines.output(Text("later"))
    lines.close()
    shown = file.getvalue()
    assert "line 2" in shown
    assert "line 3" not in shown
    assert "our own" in shown
    assert "(2 lines of output not shown" in shown
    assert shown.rstrip().endswith("later")


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "EIO"), UnicodeEncodeError("ascii", "é", 0, 1, "no")])
def test_output_that_fails_is_told_once(error: Exception) -> None:
    """Whatever keeps the output from being written, it is reported, and what follows is lost without a fault."""

    class Failing(StringIO):
        def write(self, _: str) -> int:
            raise error

    told = threading.Event()
    lines = Printer(console.OutputConsole(file=Failing()))
    lines.when_gone(told.set)
    lines.print("one")
    assert told.wait(10)
    lines.print("two")
    late = threading.Event()
    lines.when_gone(late.set)
    assert late.is_set()
    lines.close()


@pytest.mark.parametrize("body", [b"<html>", b"[1]\n", b'{"message": 1}\n'])
def test_foreign_answer_to_a_chat_is_a_sentence(body: bytes) -> None:
    """A stream that is not Ollama's ends in an error that names address and model."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await receive()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": body})

    with LoopbackServer(cast("Any", app)) as url, pytest.raises(ChatError, match=f"{url}/api/chat with model m: "):
        asyncio.run(once.chat_ollama(url, "m", 5))


def test_every_phase_of_the_agent_has_a_label() -> None:
    """The bars are named in people's words, in the agent's order."""
    assert list(waterfall.LABELS) == list(waterfall_phases.Phase)


def test_by_default_only_warnings_of_containers_are_shown() -> None:
    """A newcomer sees what went wrong, not every line; --logs shows all, --no-logs none."""
    for logs, shown in ((None, ["level=WARN disk"]), (True, ["level=INFO fine", "level=WARN disk"]), (False, [])):
        file = StringIO()
        with Screen(Console(file=file, width=100), logs=logs) as screen:
            for text in ("level=INFO fine", "level=WARN disk"):
                screen.output("ollama", text)
        assert [each.partition("│ ")[2] for each in file.getvalue().splitlines()] == shown


def test_the_waterfall_fits_a_narrow_terminal() -> None:
    """At 40 columns the bars are left out, and the names of the phases stay whole."""
    file = StringIO()
    Console(file=file, width=40).print(waterfall.table(status("READY", phase="api_answers"), 40))
    assert "API answers" in file.getvalue()
    assert all(len(each) <= 40 for each in file.getvalue().splitlines())


def test_characters_that_a_terminal_lacks_become_plain_ones() -> None:
    """On an ASCII terminal bars and marks stay readable."""
    assert "✔ ━━ é".encode("ascii", errors=console.PLAIN) == b"+ == ?"
