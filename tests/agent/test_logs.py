"""Logs: readable lines elsewhere, structured ones on Cloud Run, and nobody waits for a line to be written."""

import asyncio
import http.client
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import logging as cloud
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.servers import LoopbackServer, wait_until
from probe_agent import cloud_logging, logs
from probe_agent.logs import BackgroundHandler, project, trace_of
from tests.agent.conftest import Answer, http_answer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CLOUD_RUN = {"K_SERVICE": "chat", "K_REVISION": "chat-7", "K_CONFIGURATION": "chat", "GOOGLE_CLOUD_PROJECT": "p"}
BODY = {"state": "LOADING"}
log = logging.getLogger("probe_agent.test")


class Output:
    """A file that takes the log's lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)

    def lines(self) -> list[str]:
        """Return all lines, once every handler has written what waits."""
        for handler in logging.root.handlers:
            handler.close()
        return self._path.read_bytes().decode().split("\n")[:-1]

    def entries(self) -> list[dict[str, Any]]:
        """Return all lines, read as JSON."""
        return [json.loads(line) for line in self.lines()]


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    """Logging as in a new process; what a test configures is undone after it."""
    monkeypatch.setattr(logging.root, "handlers", [])
    level = logging.root.level
    made = Output(tmp_path / "log")
    yield made
    made.lines()
    os.close(made.descriptor)
    logging.root.setLevel(level)


def test_elsewhere_lines_are_readable(output: Output) -> None:
    """Off Cloud Run a line has time, level and text."""
    logs.configure("info", {}, descriptor=output.descriptor)

    log.info("loading %s", "smollm2")

    (line,) = output.lines()
    assert line.endswith(" INFO    loading smollm2")
    datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)


@pytest.mark.usefixtures("output")
def test_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a descriptor given, lines go to standard output."""
    logs.configure("info", {})

    log.info("hello")

    logging.root.handlers[0].close()
    assert "hello" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_lines_below_the_level_are_left_out(output: Output, level: str, shown: list[str]) -> None:
    """The level of the settings is the least severe one that is shown."""
    logs.configure(level, {}, descriptor=output.descriptor)

    for name in ("debug", "info", "warning", "error"):
        log.log(logging.getLevelNamesMapping()[name.upper()], name)

    assert [line.split()[-1] for line in output.lines()] == shown


@pytest.mark.parametrize("chatty", ["httpx", "httpcore", "uvicorn.access", "asyncio"])
def test_libraries_log_only_trouble(output: Output, chatty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even at debug level a library's line for each request does not drown the agent's own."""
    monkeypatch.setattr(logging.getLogger(chatty), "propagate", True)  # another server of these tests may have
    logging.getLogger(chatty).setLevel(logging.NOTSET)  # silenced it
    logs.configure("debug", {}, descriptor=output.descriptor)

    logging.getLogger(chatty).info("GET /api/ps")
    logging.getLogger(chatty).warning("trouble")

    assert [line.split()[-1] for line in output.lines()] == ["trouble"]


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("m\r\n2026-01-01 ERROR forged", r"m\r\n2026-01-01 ERROR forged"),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("one\u2028two\x85three", r"one\u2028two\x85three"),
        ("caf\u00e9 \ud83d", r"café \ud83d"),
    ],
)
def test_foreign_text_forges_no_line(output: Output, foreign: str, shown: str) -> None:
    """Control characters of a model's tag or a server's error are escaped in the message and in a traceback."""
    logs.configure("info", {}, descriptor=output.descriptor)

    log.error("model %s", foreign, exc_info=RuntimeError(foreign))

    line, *traceback = output.lines()
    assert line.endswith(f" ERROR   model {shown}")
    assert all(each.startswith("    ") for each in traceback)
    assert "\x1b" not in "".join(traceback)


def test_on_cloud_run_lines_are_structured(output: Output) -> None:
    """On Cloud Run each line is JSON with message, severity, labels, source and the time it was logged at."""
    before = datetime.now(UTC)
    logs.configure("info", CLOUD_RUN, descriptor=output.descriptor)
    log.info("one")
    log.warning("two \u2028 \ud83d")
    after = datetime.now(UTC)

    one, two = output.entries()

    assert (one["message"], one["severity"]) == ("one", "INFO")
    assert (two["message"], two["severity"]) == ("two \u2028 \ud83d", "WARNING")
    labels = one["logging.googleapis.com/labels"]
    assert labels == {"python_logger": "probe_agent.test", "K_REVISION": "chat-7", "K_CONFIGURATION": "chat"}
    assert one["logging.googleapis.com/sourceLocation"]["file"] == __file__
    assert "logging.googleapis.com/trace" not in one
    assert before <= datetime.fromisoformat(one["time"]) <= after


def test_on_cloud_run_a_traceback_is_part_of_its_line(output: Output) -> None:
    """An exception's traceback stands in the message of one line."""
    logs.configure("info", CLOUD_RUN, descriptor=output.descriptor)

    log.error("the agent broke", exc_info=RuntimeError("broken"))

    (line,) = output.entries()
    assert line["message"] == "the agent broke\nRuntimeError: broken"


@pytest.mark.parametrize(
    ("known", "name"), [("p", f"projects/p/traces/{TRACE}"), (None, TRACE)], ids=["project known", "unknown"]
)
def test_a_probes_line_carries_its_trace(output: Output, closed_port: int, known: str | None, name: str) -> None:
    """At debug level a probe's answer is a line with the trace of its request, named as Cloud Logging correlates it."""
    environ = {"K_SERVICE": "chat", "GCE_METADATA_HOST": f"127.0.0.1:{closed_port}"}
    environ |= {"GOOGLE_CLOUD_PROJECT": known} if known else {}
    logs.configure("debug", environ, descriptor=output.descriptor)

    asyncio.run(logs.probe_answered("/ready", 503, {"traceparent": f"00-{TRACE}-{SPAN}-01"}, BODY))

    (line,) = [line for line in output.entries() if "/ready" in line["message"]]
    assert (line["message"], line["severity"]) == ("/ready answered 503: LOADING", "DEBUG")
    assert line["logging.googleapis.com/trace"] == name
    assert line["logging.googleapis.com/spanId"] == SPAN
    assert line["logging.googleapis.com/trace_sampled"] is True


def test_a_probe_leaves_no_line_above_debug(output: Output) -> None:
    """Probes come every few seconds for ever: above debug level they leave no line."""
    logs.configure("info", {}, descriptor=output.descriptor)

    asyncio.run(logs.probe_answered("/ready", 200, {}, BODY))

    assert output.lines() == []


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
    """Answer as the metadata server does: only the right path, and only to requests with its header."""

    def answer(path: str, headers: Mapping[str, str]) -> bytes:
        right = path == "/computeMetadata/v1/project/project-id" and headers.get("Metadata-Flavor") == "Google"
        return http_answer(status, body) if right else http_answer(http.client.FORBIDDEN, b"")

    return answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (metadata(200, b"my-project"), "my-project"),
        (metadata(404, b"not found"), None),
        (metadata(200, b"\xff"), None),
        (lambda _path, _headers: b"220 mail ready\r\n", None),
    ],
    ids=["known", "unknown", "no text", "no HTTP"],
)
def test_the_project_comes_from_the_metadata_server(
    loopback: Callable[[Answer], int], answer: Answer, found: str | None
) -> None:
    """Without the project in the environment the metadata server is asked; None when it does not know."""
    assert project({"GCE_METADATA_HOST": f"127.0.0.1:{loopback(answer)}"}) == found


def test_a_metadata_server_that_is_not_there_is_no_obstacle(
    closed_port: int, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A metadata server that refuses, never answers or has an impossible name leaves the project unknown."""
    monkeypatch.setattr(logs, "METADATA_SECONDS", 0.05)
    for host in (f"127.0.0.1:{closed_port}", f"127.0.0.1:{silent_port}", "no such host", "host:port"):
        assert project({"GCE_METADATA_HOST": host}) is None


class Blocked(logging.Handler):
    """Keeps messages; waits before each until it is let go, and fails as long as `error` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.let_go = threading.Event()
        self.reached = threading.Event()
        self.error: Exception | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Wait, then keep the message or fail."""
        self.reached.set()
        self.let_go.wait(10)
        if self.error is not None:
            raise self.error
        self.messages.append(record.getMessage())


def send(handler: logging.Handler, *texts: str) -> None:
    """Log lines to a handler."""
    for text in texts:
        handler.handle(log.makeRecord("x", logging.INFO, "f", 1, text, (), None))


def test_lines_that_nobody_takes_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the output takes nothing, lines wait up to a bound; later a line says how many were dropped."""
    monkeypatch.setattr(logs, "MOST_WAITING", 2)
    target = Blocked()
    handler = BackgroundHandler(lambda: target)
    send(handler, "one")
    assert target.reached.wait(10)
    send(handler, "two", "three", "four", "five")

    target.let_go.set()
    wait_until(lambda: len(target.messages) == 4, what="the lines that waited")
    handler.close()

    dropped = "2 log lines were dropped: they could not be written"
    assert target.messages == ["one", dropped, "two", "three"]


def test_a_close_does_not_wait_for_an_output_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """At exit a blocked output costs a bounded time, with room in the queue or without."""
    monkeypatch.setattr(logs, "MOST_WAITING", 1)
    monkeypatch.setattr(logs, "CLOSE_SECONDS", 0.01)
    target = Blocked()
    handler = BackgroundHandler(lambda: target)
    send(handler, "one")
    assert target.reached.wait(10)
    handler.close()
    handler.close()
    assert target.messages == []
    target.let_go.set()


def test_lines_that_cannot_be_written_are_counted() -> None:
    """An output that fails, a full disk for instance, loses lines and says so once it works again."""
    target = Blocked()
    target.let_go.set()
    target.error = OSError("no space left")
    handler = BackgroundHandler(lambda: target)
    send(handler, "one", "two")
    wait_until(lambda: handler._failed == 2, what="two dropped lines")
    target.error = None

    send(handler, "three")

    handler.close()
    assert target.messages == ["2 log lines were dropped: they could not be written", "three"]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Cloud Logging's API on loopback, used at once; the list has the entries that were written."""
    entries: list[dict[str, Any]] = []

    async def write(request: Request) -> JSONResponse:
        entries.extend((await request.json())["entries"])
        return JSONResponse({})

    with LoopbackServer(Starlette(routes=[Route("/v2/entries:write", write, methods=["POST"])])) as url:
        client = cloud.Client(  # type: ignore[no-untyped-call]
            project="p",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            _use_grpc=False,
            client_options={"api_endpoint": url},
        )
        handler = cloud_logging.api_handler(client)
        monkeypatch.setattr(cloud_logging, "api_handler", lambda: handler)
        monkeypatch.setattr(logs, "IMPORT_AFTER_SECONDS", 0)
        yield entries
        client._http.close()


def test_lines_go_to_the_api_when_asked_for(output: Output, api: list[dict[str, Any]]) -> None:
    """Lines are sent to Cloud Logging's API as well, with severity, trace and labels; google's own lines are not."""
    logs.configure("info", {}, send=True, descriptor=output.descriptor)
    log.warning("one", extra=trace_of({"traceparent": f"00-{TRACE}-{SPAN}-01"}))
    log.info("two")
    logging.getLogger("google.cloud").warning("sent one")

    assert len(output.lines()) == 3
    one, two = [entry for entry in api if "textPayload" in entry]
    assert (one["textPayload"], one["severity"], two["textPayload"]) == ("one", 400, "two")
    assert (one["trace"], one["spanId"]) == (f"projects/p/traces/{TRACE}", SPAN)
    assert one["labels"]["python_logger"] == "probe_agent.test"


def test_an_api_that_cannot_be_used_is_one_line(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the library's credentials the log says so, and goes on without the API."""

    def fails() -> logging.Handler:
        raise DefaultCredentialsError("no credentials")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(cloud_logging, "api_handler", fails)
    monkeypatch.setattr(logs, "IMPORT_AFTER_SECONDS", 0.2)  # not before the set-up is done
    logs.configure("info", CLOUD_RUN, send=True, descriptor=output.descriptor)
    wait_until(lambda: logging.root.handlers[-1].level > logging.CRITICAL, what="the API's handler to be off")

    log.info("one")

    failed, one = [entry["message"] for entry in output.entries()]
    assert failed.startswith("this log target cannot be used\nTraceback")
    assert failed.endswith("DefaultCredentialsError: no credentials")
    assert one == "one"
