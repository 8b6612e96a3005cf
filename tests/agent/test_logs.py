"""Logs: readable lines elsewhere, structured ones on Cloud Run, and none lost in between."""

import asyncio
import http.client
import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from probe_agent import logs
from probe_agent.logs import DeferredHandler, trace_of
from tests.agent.conftest import Answer, http_answer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLOUD_RUN = {"K_SERVICE": "chat", "K_REVISION": "chat-7", "K_CONFIGURATION": "chat", "GOOGLE_CLOUD_PROJECT": "p"}
BODY = {"state": "LOADING"}
log = logging.getLogger("probe_agent.test")


def joined() -> None:
    """Wait until the structured handler is there, or was given up."""
    for thread in threading.enumerate():
        if thread.name == "cloud-logging":
            thread.join(30)
            assert not thread.is_alive()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the structured lines; without google's own line about itself."""
    parsed = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in parsed if "logging.googleapis.com/diagnostic" not in line]


class Kept(logging.Handler):
    """Keeps the messages that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.messages.append(record.getMessage())


class Echo(Kept):
    """Logs a line of its own while it handles the first one, as google's handler does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        if not self.messages:
            self.messages.append("(first)")
            log.warning("echo")
        super().emit(record)


@pytest.mark.usefixtures("first_probe")
def test_elsewhere_lines_are_readable() -> None:
    """Off Cloud Run a line has time, level and text."""
    stream = io.StringIO()
    logs.configure("info", {}, stream)

    log.info("loading %s", "smollm2")

    assert stream.getvalue().endswith(" INFO    loading smollm2\n")
    datetime.strptime(stream.getvalue()[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


@pytest.mark.usefixtures("first_probe")
def test_lines_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a stream given, lines go to standard output."""
    logs.configure("info", {})

    log.info("hello")

    assert "hello" in capsys.readouterr().out


@pytest.mark.usefixtures("first_probe")
@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(level: str, shown: list[str]) -> None:
    """The level of the settings is the least severe one that is shown."""
    stream = io.StringIO()
    logs.configure(level, {}, stream)

    for name in ("debug", "info", "warning", "error"):
        log.log(logging.getLevelNamesMapping()[name.upper()], name)

    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == shown


@pytest.mark.usefixtures("first_probe")
@pytest.mark.parametrize("chatty", ["httpx", "httpcore", "uvicorn.access", "asyncio"])
def test_libraries_speak_only_of_trouble(chatty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for every request of a library would drown the agent's own, even at debug level."""
    stream = io.StringIO()
    monkeypatch.setattr(logging.getLogger(chatty), "propagate", True)  # another server of these tests may have
    logging.getLogger(chatty).setLevel(logging.NOTSET)  # silenced it
    logs.configure("debug", {}, stream)

    logging.getLogger(chatty).info("GET /api/ps")
    logging.getLogger(chatty).warning("trouble")

    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["trouble"]


def test_kept_lines_reach_the_target_in_order() -> None:
    """What was logged before the target came reaches it first, each line once; the rest follows at once."""
    fallback, target = Kept(), Kept()
    handler = DeferredHandler(fallback)
    for text in ("one", "two"):
        handler.handle(log.makeRecord("x", logging.INFO, "f", 1, text, (), None))

    assert target.messages == []
    handler.use(target)
    assert target.messages == ["one", "two"]
    handler.handle(log.makeRecord("x", logging.INFO, "f", 1, "three", (), None))
    assert target.messages == ["one", "two", "three"]
    handler.close()
    assert (target.messages, fallback.messages) == (["one", "two", "three"], [])


def test_without_a_target_the_fallback_writes_at_the_end() -> None:
    """When no target ever comes, closing writes every line with the fallback."""
    fallback = Kept()
    handler = DeferredHandler(fallback)
    handler.handle(log.makeRecord("x", logging.INFO, "f", 1, "one", (), None))

    handler.close()

    assert fallback.messages == ["one"]


def test_more_lines_than_expected_are_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the number that a start writes, lines are still kept until the target is there."""
    monkeypatch.setattr(logs, "KEPT_LINES", 2)
    target, handler = Kept(), DeferredHandler(Kept())
    for number in range(5):
        handler.handle(log.makeRecord("x", logging.INFO, "f", 1, str(number), (), None))

    handler.use(target)

    assert target.messages == ["0", "1", "2", "3", "4"]
    handler.close()


@pytest.mark.usefixtures("first_probe")
def test_a_target_that_logs_makes_no_line_twice() -> None:
    """A target that logs a line while it takes over the kept ones gets each of them once.

    Google's handler does so with its first line; that line was once written twice.
    """
    target, handler = Echo(), DeferredHandler(Kept())
    logging.basicConfig(level="INFO", handlers=[handler], force=True)
    log.info("one")
    log.info("two")

    handler.use(target)

    assert sorted(target.messages) == ["(first)", "echo", "one", "two"]
    handler.close()


def test_on_cloud_run_lines_are_structured(first_probe: threading.Event) -> None:
    """On Cloud Run each line is one JSON object with message, severity, labels, and the time it was logged at."""
    stream = io.StringIO()
    before = datetime.now(UTC)
    logs.configure("info", CLOUD_RUN, stream)
    log.info("one")
    log.warning("two")
    assert stream.getvalue() == ""
    after = datetime.now(UTC)

    first_probe.set()
    joined()
    log.error("three")

    written = lines(stream)
    assert [(line["message"], line["severity"]) for line in written] == [
        ("one", "INFO"),
        ("two", "WARNING"),
        ("three", "ERROR"),
    ]
    labels = written[0]["logging.googleapis.com/labels"]
    assert labels == {"python_logger": "probe_agent.test", "K_REVISION": "chat-7", "K_CONFIGURATION": "chat"}
    assert before <= datetime.fromisoformat(written[0]["time"]) <= after


def test_on_cloud_run_a_traceback_is_part_of_its_line(first_probe: threading.Event) -> None:
    """An exception's traceback stands in the message of one line, and does not break the stream of JSON."""
    stream = io.StringIO()
    logs.configure("info", CLOUD_RUN, stream)
    first_probe.set()
    joined()

    log.error("the agent broke", exc_info=RuntimeError("broken"))

    (line,) = lines(stream)
    assert line["message"] == "the agent broke\nRuntimeError: broken"
    assert line["severity"] == "ERROR"


@pytest.mark.parametrize(
    ("project", "name"), [("p", f"projects/p/traces/{TRACE}"), (None, TRACE)], ids=["project known", "unknown"]
)
def test_a_probes_line_carries_its_trace(
    first_probe: threading.Event, closed_port: int, project: str | None, name: str
) -> None:
    """At debug level a probe's answer is a line with the trace of its request, named as Cloud Logging correlates it."""
    stream = io.StringIO()
    environ = {"K_SERVICE": "chat", "GCE_METADATA_HOST": f"127.0.0.1:{closed_port}"}
    logs.configure("debug", environ | ({"GOOGLE_CLOUD_PROJECT": project} if project else {}), stream)

    asyncio.run(logs.probe_answered("/ready", 503, {"traceparent": f"00-{TRACE}-{SPAN}-01"}, BODY))
    assert first_probe.is_set()
    joined()

    (line,) = [line for line in lines(stream) if "/ready" in line["message"]]
    assert (line["message"], line["severity"]) == ("/ready answered 503: LOADING", "DEBUG")
    assert line["logging.googleapis.com/trace"] == name
    assert line["logging.googleapis.com/spanId"] == SPAN
    assert line["logging.googleapis.com/trace_sampled"] is True


def test_a_probe_leaves_no_line_above_debug(first_probe: threading.Event) -> None:
    """Probes come every few seconds for ever: above debug level they leave no line, but the first is noticed."""
    stream = io.StringIO()
    logs.configure("info", {}, stream)

    asyncio.run(logs.probe_answered("/ready", 200, {}, BODY))

    assert stream.getvalue() == ""
    assert first_probe.is_set()


@pytest.mark.parametrize(
    ("headers", "fields"),
    [
        ({}, {}),
        ({"traceparent": f"00-{TRACE}-{SPAN}-01"}, {"trace": TRACE, "span_id": SPAN, "trace_sampled": True}),
        ({"traceparent": f"00-{TRACE}-{SPAN}-00"}, {"trace": TRACE, "span_id": SPAN, "trace_sampled": False}),
        ({"traceparent": f"00-{TRACE}-{SPAN}-ff"}, {"trace": TRACE, "span_id": SPAN, "trace_sampled": True}),
        ({"traceparent": f"00-{TRACE}-{SPAN}"}, {}),
        ({"traceparent": "nonsense"}, {}),
        (
            {"x-cloud-trace-context": f"{TRACE}/255;o=1"},
            {"trace": TRACE, "span_id": "00000000000000ff", "trace_sampled": True},
        ),
        (
            {"x-cloud-trace-context": f"{TRACE}/255;o=0"},
            {"trace": TRACE, "span_id": "00000000000000ff", "trace_sampled": False},
        ),
        ({"x-cloud-trace-context": TRACE}, {"trace": TRACE, "span_id": "", "trace_sampled": False}),
        ({"x-cloud-trace-context": f"{TRACE}/x"}, {}),
        (
            {"traceparent": "nonsense", "x-cloud-trace-context": f"{TRACE}/1"},
            {"trace": TRACE, "span_id": "0000000000000001", "trace_sampled": False},
        ),
    ],
)
def test_a_trace_is_read_from_either_header(headers: dict[str, str], fields: dict[str, object]) -> None:
    """The W3C's header comes first, Google's own second; what is neither is no trace."""
    assert trace_of(headers) == fields


def metadata(status: int, body: bytes) -> Answer:
    """Answer as the metadata server does: only the right path, and only to those who name the flavour."""

    def answer(path: str, headers: Mapping[str, str]) -> bytes:
        right = path == "/computeMetadata/v1/project/project-id" and headers.get("Metadata-Flavor") == "Google"
        return http_answer(status, body) if right else http_answer(http.client.FORBIDDEN, b"")

    return answer


@pytest.mark.parametrize(
    ("answer", "project"),
    [
        (metadata(200, b"my-project"), "my-project"),
        (metadata(404, b"not found"), None),
        (metadata(200, b"\xff"), None),
        (lambda _path, _headers: b"220 mail ready\r\n", None),
    ],
    ids=["known", "unknown", "no text", "no HTTP"],
)
def test_the_project_comes_from_the_metadata_server(
    loopback: Callable[[Answer], int], answer: Answer, project: str | None
) -> None:
    """Without the project in the environment the metadata server is asked, and what it cannot tell is left open."""
    from probe_agent.cloud_logging import structured_handler  # noqa: PLC0415 — slow to import, for these tests alone

    handler = structured_handler(io.StringIO(), {"GCE_METADATA_HOST": f"127.0.0.1:{loopback(answer)}"})

    assert getattr(handler, "project_id", None) == project


def test_a_metadata_server_that_is_not_there_is_no_obstacle(
    closed_port: int, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metadata server that refuses, says nothing or has an impossible name leaves the project open."""
    from probe_agent import cloud_logging  # noqa: PLC0415 — slow to import, for these tests alone

    monkeypatch.setattr(cloud_logging, "METADATA_TIMEOUT_SECONDS", 0.05)
    for host in (f"127.0.0.1:{closed_port}", f"127.0.0.1:{silent_port}", "no such host", "host:port"):
        handler = cloud_logging.structured_handler(io.StringIO(), {"GCE_METADATA_HOST": host})
        assert getattr(handler, "project_id", None) is None


def test_without_the_library_lines_are_written_all_the_same(
    first_probe: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where google-cloud-logging cannot be imported, the kept lines and a word about it are still JSON lines."""
    monkeypatch.setitem(sys.modules, "probe_agent.cloud_logging", None)
    stream = io.StringIO()
    logs.configure("info", CLOUD_RUN, stream)
    log.info("one")

    first_probe.set()
    joined()
    log.warning("two")

    first, said, last = lines(stream)
    assert (first["message"], first["severity"]) == ("one", "INFO")
    assert "google-cloud-logging cannot be" in said["message"]
    assert (last["message"], last["severity"]) == ("two", "WARNING")
    assert datetime.fromisoformat(last["time"]).tzinfo is not None


SLOW = "google.cloud.logging_v2"
SCRIPT = f"""
import asyncio, logging, sys, threading
from probe_agent import logs

logs.PATIENCE_SECONDS = float(sys.argv[1])
logs.configure("info", {CLOUD_RUN!r})
logging.getLogger("x").info("one")
print("early", {SLOW!r} in sys.modules, flush=True)
if sys.argv[2] == "probed":
    asyncio.run(logs.probe_answered("/startup", 503, {{}}, {BODY!r}))
if sys.argv[2] != "neither":
    for thread in threading.enumerate():
        if thread.name == "cloud-logging":
            thread.join()
print("late", {SLOW!r} in sys.modules, flush=True)
"""


def run(patience: float, event: str) -> list[str]:
    """Run a process that logs one line on Cloud Run; return what it writes, without google's line about itself."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(patience), event],
        env={**os.environ, **CLOUD_RUN},
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return [line for line in ended.stdout.splitlines() if "logging.googleapis.com/diagnostic" not in line]


def test_the_slow_import_waits_for_the_first_probe() -> None:
    """The library is imported after the first probe's answer, and not before."""
    early, line, late = run(600, "probed")

    assert (early, late) == ("early False", "late True")
    assert json.loads(line)["message"] == "one"


def test_the_slow_import_comes_without_a_probe_too() -> None:
    """When nobody probes, the library is imported as soon as the patience ends."""
    written = run(0.01, "not probed")

    assert written[-1] == "late True"
    assert [json.loads(line)["message"] for line in written if line.startswith("{")] == ["one"]


def test_a_process_that_ends_before_loses_no_line() -> None:
    """A process that ends before the handler arrived has written its lines all the same, and imported nothing."""
    early, late, line = run(600, "neither")

    assert (early, late) == ("early False", "late False")
    assert json.loads(line)["message"] == "one"
