"""What passes through the gateway, what does not, and what its client learns when something breaks."""

import json
import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client import generate_latest

from lab.raw_server import NDJSON, SSE, STREAM, RawRequest, answer, chunk
from lab.servers import NO_TLS, wait_until
from probe_agent.gateway.keys import KeyFile
from tests.agent.gateway.conftest import Stand

Start = Callable[..., Stand]
DONE = answer(b'{"done":true,"eval_count":7,"prompt_eval_count":3}')


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/pull"),
        ("POST", "/api/push"),
        ("POST", "/api/create"),
        ("POST", "/api/copy"),
        ("DELETE", "/api/delete"),
        ("POST", "/api/me"),
        ("POST", "/api/signout"),
        ("POST", "/api/blobs/sha256-0"),
        ("HEAD", "/api/blobs/sha256-0"),
    ],
)
def test_administrative_routes_are_closed(stand: Start, method: str, path: str) -> None:
    """Nothing of them reaches Ollama, and the client is told why."""
    made = stand(DONE)
    response = made.http.request(method, made.url + path)
    assert response.status_code == 403
    assert response.headers["x-probe-agent-refused"] == "closed_route"
    assert not made.upstream.requests


@pytest.mark.parametrize(
    "target",
    [
        "//api/delete",
        "/api//delete",
        "/v1/../api/delete",
        "/api/%64elete",
        "/api/delete;x=1",
        "/api/delete%00",
        "/api/delete/",
        "/API/delete",
        "/api/chat/../delete",
        "/api/chat?x=/api/delete",
        "http://elsewhere/api/delete",
    ],
)
def test_no_spelling_of_a_path_reaches_a_closed_route(stand: Start, target: str) -> None:
    """A path that is not in the table to the letter is unknown, and is never forwarded."""
    made = stand(DONE)
    with socket.create_connection(("127.0.0.1", httpx.URL(made.url).port or 0)) as raw:
        raw.sendall(f"DELETE {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = raw.recv(12)
    assert status[9:10] == b"4"
    assert not made.upstream.requests


def test_an_opened_route_passes(stand: Start) -> None:
    """The operator can open single routes."""
    from probe_agent.gateway.routes import RouteTable  # noqa: PLC0415

    made = stand(DONE, routes=RouteTable(["/api/copy"]))
    assert made.post("/api/copy").status_code == 200
    assert made.upstream.requests[0].line == "POST /api/copy HTTP/1.1"


def test_an_unchanged_request_passes_byte_for_byte(stand: Start) -> None:
    """White space and all; credentials, cookies and fields of the connection do not."""
    made = stand(DONE)
    body = b'{ "model" : "owl",\n "messages":[] , "stream":false }'
    fields = {
        "Authorization": "Bearer secret",
        "Cookie": "a=b",
        "X-Request-Id": "17",
        "Connection": "x-hop",
        "X-Hop": "1",
    }
    response = made.http.post(made.url + "/api/chat", content=body, headers=fields)
    (request,) = made.upstream.requests
    assert request.body == body
    assert request.fields["x-request-id"] == "17"
    assert not request.fields.keys() & {"authorization", "cookie", "x-hop", "connection"}
    assert request.fields["host"] == f"127.0.0.1:{made.upstream.port}"
    assert response.json()["done"]
    assert "x-probe-agent-changed" not in response.headers


def test_what_was_changed_is_told(stand: Start) -> None:
    """In a header field, and in the metrics."""
    made = stand(DONE)
    response = made.post(keep_alive=0, options={"num_ctx": 128, "temperature": 0})
    assert response.headers["x-probe-agent-changed"] == "keep_alive removed; num_ctx=4096"
    assert json.loads(made.upstream.requests[0].body) == {"model": "owl", "options": {"temperature": 0}}
    made.counts('probe_agent_gateway_changed_total{field="num_ctx",tenant="anyone"}', 1)


@pytest.mark.parametrize(
    ("path", "key"), [("/api/chat", None), ("/v1/chat/completions", "message"), ("/v1/messages", "message")]
)
def test_a_refusal_speaks_the_clients_protocol(stand: Start, path: str, key: str | None) -> None:
    """Native, OpenAI and Anthropic clients each find the reason where they look for it."""
    made = stand(DONE)
    response = made.post(path, model="other")
    error = response.json()["error"]
    assert response.status_code == 404
    assert "'other' is not served here" in (error if key is None else error[key])
    made.counts('probe_agent_gateway_refused_total{kind="model",tenant="anyone"}', 1)


def test_each_piece_of_a_stream_is_passed_on_at_once(stand: Start) -> None:
    """The client has the first token before the upstream sends the second."""
    go_on = threading.Event()

    def script(_: RawRequest, connection: socket.socket) -> None:
        connection.sendall(STREAM % NDJSON + chunk(b'{"n":1}\n'))
        assert go_on.wait(10)
        connection.sendall(chunk(b'{"done":true,"eval_count":2,"prompt_eval_count":9}\n') + chunk(b""))

    made = stand(script)
    with made.http.stream("POST", made.url + "/api/chat", json={"model": "owl"}) as response:
        lines = response.iter_lines()
        assert next(lines) == '{"n":1}'
        go_on.set()
        assert '"done":true' in next(lines)
    labels = '{direction="output",gen_ai_operation_name="chat",gen_ai_provider_name="ollama",'
    labels += 'gen_ai_request_model="owl",tenant="anyone"}'
    wait_until(lambda: made.admission.running == 0, 5, "a free slot")
    made.counts(f"probe_agent_gateway_tokens_total{labels}", 2)


@pytest.mark.parametrize(
    ("path", "kind", "piece", "error"),
    [
        ("/api/chat", NDJSON, b'{"n":1}\n', '{"error": "Ollama'),
        ("/v1/chat/completions", SSE, b"data: {}\n\n", 'data: {"error": {"message": "Ollama'),
        ("/v1/messages", SSE, b"data: {}\n\n", "event: error"),
    ],
)
@pytest.mark.parametrize("clean", [False, True])
def test_a_stream_that_breaks_ends_with_an_error_and_no_proper_end(
    stand: Start, path: str, kind: bytes, piece: bytes, error: str, *, clean: bool
) -> None:
    """Ollama ends /v1 streams cleanly when its runner dies; the client must not take that for a whole answer."""

    def script(_: RawRequest, connection: socket.socket) -> None:
        connection.sendall(STREAM % kind + chunk(piece) + (chunk(b"") if clean else b""))
        if not clean:
            connection.shutdown(socket.SHUT_RDWR)

    made = stand(script)
    with made.http.stream("POST", made.url + path, json={"model": "owl", "stream": True}) as response:
        pieces = response.iter_text()
        text = ""
        while error not in text:
            text += next(pieces)
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


@pytest.mark.parametrize(
    ("path", "kind", "end"),
    [
        ("/api/chat", NDJSON, b'{"done":true}\n'),
        ("/api/chat", NDJSON, b'{"error":"an error was encountered while running the model"}\n'),
        ("/v1/chat/completions", SSE, b"data: [DONE]\n\n"),
        ("/v1/responses", SSE, b'data: {"type":"response.completed"}\n\n'),
        ("/v1/messages", SSE, b'data: {"type":"message_stop"}\n\n'),
    ],
)
def test_a_whole_stream_ends_properly(stand: Start, path: str, kind: bytes, end: bytes) -> None:
    """Each protocol's own last words are known."""
    made = stand(lambda _, connection: connection.sendall(STREAM % kind + chunk(end) + chunk(b"")))
    assert made.post(path).content == end


def test_a_stale_connection_is_tried_once_more(stand: Start) -> None:
    """An upstream that closed a kept connection costs the client nothing."""

    def script(request: RawRequest, connection: socket.socket) -> None:
        DONE(request, connection)
        connection.shutdown(socket.SHUT_RDWR)  # without a word of it in the header

    made = stand(script)
    for _ in range(5):
        assert made.post().status_code == 200


def test_an_upstream_that_is_away_is_502_and_used_again_at_once(stand: Start) -> None:
    """No connection, no answer: said at once, with what to do."""
    broken = threading.Event()
    broken.set()

    def script(request: RawRequest, connection: socket.socket) -> None:
        if broken.is_set():
            connection.shutdown(socket.SHUT_RDWR)
        else:
            DONE(request, connection)

    made = stand(script)
    response = made.post()
    assert response.status_code == 502
    assert "Ollama did not answer" in response.json()["error"]
    broken.clear()
    assert made.post().status_code == 200


def test_a_silent_upstream_is_given_up_at_the_deadline(stand: Start) -> None:
    """504, and the slot is free again."""
    made = stand(lambda *_: None, deadline_seconds=0.2)
    response = made.post()
    assert response.status_code == 504
    assert made.admission.running == 0
    assert made.upstream.gone.wait(5)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_client_that_leaves_cancels_its_request(stand: Start, streaming: bool) -> None:
    """Ollama's side is hung up, and the slot is free, streaming or not."""

    def script(_: RawRequest, connection: socket.socket) -> None:
        if streaming:
            connection.sendall(STREAM % NDJSON + chunk(b'{"n":1}\n'))

    made = stand(script)
    with socket.create_connection(("127.0.0.1", httpx.URL(made.url).port or 0)) as client:
        body = b'{"model":"owl"}'
        client.sendall(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        if streaming:
            assert client.recv(1000)
        wait_until(lambda: bool(made.upstream.requests), 5, "a request upstream")
    assert made.upstream.gone.wait(5)
    wait_until(lambda: made.admission.running == 0, 5, "a free slot")


def test_a_client_that_leaves_the_queue_never_reaches_ollama(stand: Start) -> None:
    """Its place is free for the next."""
    go_on = threading.Event()

    def script(request: RawRequest, connection: socket.socket) -> None:
        assert go_on.wait(10)
        DONE(request, connection)

    made = stand(script, slots=1, queue=1)
    threads = [threading.Thread(target=made.post)]
    threads[0].start()
    wait_until(lambda: made.admission.running == 1, 5, "a busy slot")
    with socket.create_connection(("127.0.0.1", httpx.URL(made.url).port or 0)) as client:
        client.sendall(b'POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{"model":"owl"}')
        wait_until(lambda: made.admission.waiting == 1, 5, "a request in the queue")
        full = made.post()
    assert full.status_code == 429
    assert int(full.headers["retry-after"]) >= 1
    wait_until(lambda: made.admission.waiting == 0, 5, "an empty queue")
    go_on.set()
    threads[0].join(5)
    assert len(made.upstream.requests) == 1


def test_an_instance_that_is_not_ready_refuses_inference_alone(stand: Start) -> None:
    """503 with the agent's own reason; read-only routes go on."""
    made = stand(DONE)
    made.view.ready, made.view.reason, made.view.action = False, "model owl is loading", "Wait"
    response = made.post()
    assert response.status_code == 503
    assert "model owl is loading" in response.json()["error"]
    assert response.headers["retry-after"]
    assert made.http.get(made.url + "/api/tags").status_code == 200


def test_a_body_beyond_the_limit_is_413(stand: Start) -> None:
    """With a length or without one, before it is read whole."""
    made = stand(DONE, body_bytes=1000)
    assert made.post(prompt="x" * 1000).status_code == 413
    pieces = (b"x" * 100 for _ in range(100))
    assert made.http.post(made.url + "/api/chat", content=pieces).status_code == 413
    assert not made.upstream.requests


def test_a_key_is_asked_for_and_names_the_tenant(stand: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bearer, Basic and x-api-key serve; the key itself goes no further."""
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text("alice alice-secret-key-1\nbob bob-secret-key-0001\n")
    made = stand(DONE, keys=KeyFile(file, time.monotonic))
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic !"}, {"x-api-key": "wrong"}):
        refused = made.post(headers=headers)
        assert refused.status_code == 401
        assert "www-authenticate" in refused.headers
    assert made.post(headers={"Authorization": "Bearer alice-secret-key-1"}).status_code == 200
    assert made.post(headers={"x-api-key": "bob-secret-key-0001"}).status_code == 200
    with_password = httpx.BasicAuth("anything", "bob-secret-key-0001")
    assert made.http.post(made.url + "/api/chat", json={"model": "owl"}, auth=with_password).status_code == 200
    made.counts('probe_agent_gateway_queue_seconds_count{tenant="bob"}', 2)
    assert not any("secret" in str(request.fields) for request in made.upstream.requests)


def test_a_large_answer_waits_for_a_slow_client(stand: Start) -> None:
    """Memory is bounded by what one connection buffers, and nothing is lost."""
    size = 8 << 20
    made = stand(answer(b"x" * size, kind="application/octet-stream"))
    with httpx.stream("POST", made.url + "/api/chat", json={"model": "owl"}, timeout=20, verify=NO_TLS) as response:
        received = sum(len(piece) for piece in response.iter_raw())
    assert received == size


def test_an_answer_that_is_no_http_is_502(stand: Start) -> None:
    """What answers is not Ollama."""
    made = stand(lambda _, connection: connection.sendall(b"SSH-2.0-whatever\r\n"))
    assert made.post().status_code == 502


def test_a_broken_answer_that_is_no_stream_is_cut(stand: Start) -> None:
    """Its length is announced: an error behind it would be taken for a part of the answer."""

    def script(_: RawRequest, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")
        connection.shutdown(socket.SHUT_RDWR)

    with pytest.raises(httpx.RemoteProtocolError):
        stand(script).post()


def test_a_body_that_does_not_arrive_is_408(stand: Start) -> None:
    """A slow sender holds its place no longer than the deadline."""
    made = stand(DONE, deadline_seconds=0.1)
    with socket.create_connection(("127.0.0.1", httpx.URL(made.url).port or 0)) as raw:
        raw.sendall(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        assert raw.recv(12) == b"HTTP/1.1 408"


def test_a_client_that_leaves_in_its_own_body_is_counted(stand: Start) -> None:
    """Nothing of its request reaches Ollama."""
    made = stand(DONE)
    with socket.create_connection(("127.0.0.1", httpx.URL(made.url).port or 0)) as raw:
        raw.sendall(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
    wait_until(lambda: 'error_type="client_left"' in generate_latest(made.registry).decode(), 5, "the count")
    assert not made.upstream.requests


def test_a_query_string_is_refused(stand: Start) -> None:
    """Inference routes take none."""
    assert stand(DONE).post("/api/chat?x=1").status_code == 400


def test_blobs_are_closed_and_a_wrong_method_is_405(stand: Start) -> None:
    """A client learns which method the route takes."""
    made = stand(DONE)
    assert made.http.get(made.url + "/api/chat").status_code == 405


def test_a_drain_admits_nobody_and_ends_what_runs_with_an_error(stand: Start) -> None:
    """The line is an error in the stream's own form, and the connection is cut."""
    first = STREAM % NDJSON + chunk(b'{"n":1}\n')
    made = stand(lambda _, connection: connection.sendall(first))
    with made.http.stream("POST", made.url + "/api/chat", json={"model": "owl"}) as response:
        pieces = response.iter_text()
        text = next(pieces)
        made.loop_call(lambda: made.gateway.drain(0))
        with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 — the text is kept up to the break
            for piece in pieces:
                text += piece
    assert "this instance ends" in text
    assert made.post().status_code == 503
