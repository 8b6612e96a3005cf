"""Containers for tests of `ops up`: a fake agent and a fake server, small processes of the standard library.

Run as `python up_fakes.py agent [READY_AFTER_SECONDS]` or `python up_fakes.py server`; both read the
environment that the platform gives them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PHASES = ("agent_up", "port_open", "load", "ready")
# Bounds every wait, so that a failing test leaves no process that waits.
LONGEST_SECONDS = 20.0


class Handler(BaseHTTPRequestHandler):
    """Answers by the method named after the path's last part: `/ready` is `get_ready`."""

    protocol_version = "HTTP/1.1"
    body = b""

    def do_GET(self) -> None:
        """Answer GET."""
        getattr(self, "get_" + self.path.rsplit("/", 1)[-1].partition("?")[0], self.missing)()

    def do_POST(self) -> None:
        """Answer POST."""
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        getattr(self, "post_" + self.path.rsplit("/", 1)[-1], self.missing)()

    def missing(self) -> None:
        """Answer 404."""
        self.answer(404, {"error": "no such path"})

    def answer(self, status: int, body: Any) -> None:
        """Answer JSON."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; an empty one ends it."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — http.server's name
        """Print each request, as a container's log would."""
        if self.path != "/status":
            print(format % args, flush=True)


class Agent(Handler):
    """The agent's outer interface; ready some seconds after its start, or as told by POST."""

    started_at = time.time()
    ready_at = started_at
    alive = True
    ready = True
    told = threading.Event()

    @property
    def is_ready(self) -> bool:
        """Whether the model would answer."""
        return time.time() >= Agent.ready_at and Agent.ready

    def get_startup(self) -> None:
        """Hold the probe until ready, as the agent does."""
        Agent.told.wait(max(0.0, min(Agent.ready_at - time.time(), LONGEST_SECONDS)))
        self.answer(200, {"state": "READY"})

    def get_refuse(self) -> None:
        """Refuse, with a reason."""
        self.answer(503, {"state": "FAILED", "reason": "the digest is another one"})

    def get_ready(self) -> None:
        """Answer the readiness probe."""
        self.answer(200 if self.is_ready else 503, {"state": "READY" if self.is_ready else "LOADING"})

    def get_live(self) -> None:
        """Answer the liveness probe."""
        self.answer(200 if Agent.alive else 500, {})

    def get_status(self) -> None:
        """Answer what the display reads."""
        took = Agent.ready_at - Agent.started_at
        reached = len(PHASES) if self.is_ready else min(int(3 * (time.time() - Agent.started_at) / (took or 1)), 3)
        names = PHASES[:reached]
        phases = [{"phase": name, "at_seconds": took * i / 3, "seconds": took / 3} for i, name in enumerate(names)]
        since = datetime.fromtimestamp(Agent.ready_at if self.is_ready else Agent.started_at, UTC)
        state = "READY" if self.is_ready else "LOADING"
        body = {
            "state": state,
            "reason": "the model is being loaded",
            "since": since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "agent": {"uptime_seconds": time.time() - Agent.started_at},
            "models": [{"size_bytes": 98_000_000}],
            "waterfall": {"phases": phases, "gap_seconds": 0.3, "load_bytes_per_second": 1.8e8},
        }
        self.answer(200, body)

    def post_now(self) -> None:
        """Be ready at once, whatever was said at the start."""
        Agent.ready_at = min(Agent.ready_at, time.time())
        Agent.told.set()
        self.answer(200, {})

    def post_unready(self) -> None:
        """Lose readiness."""
        Agent.ready = False
        self.answer(200, {})

    def post_again(self) -> None:
        """Get readiness back."""
        Agent.ready = True
        self.answer(200, {})

    def post_dead(self) -> None:
        """Fail the liveness probe from now on."""
        Agent.alive = False
        self.answer(200, {})


class Server(Handler):
    """What the ingress forwards to; keeps count of what reached it."""

    seen: list[str] = []  # noqa: RUF012 — one process, one server
    busy = 0
    most_busy = 0
    released = threading.Event()
    left = threading.Event()

    def do_GET(self) -> None:
        """Note the request, then answer it."""
        Server.seen.append(self.path)
        super().do_GET()

    def get_echo(self) -> None:
        """Show the request as it arrived."""
        self.answer(200, {"path": self.path, "headers": dict(self.headers.items())})

    def post_echo(self) -> None:
        """Show the body as it arrived."""
        self.answer(201, {"body": self.body.decode()})

    def get_count(self) -> None:
        """Tell how many requests were answered at once, at most."""
        self.answer(200, {"most_busy": Server.most_busy, "seen": Server.seen})

    def get_held(self) -> None:
        """Answer after the release."""
        Server.busy += 1
        Server.most_busy = max(Server.busy, Server.most_busy)
        Server.released.wait(LONGEST_SECONDS)
        Server.busy -= 1
        self.answer(200, {})

    def post_release(self) -> None:
        """Let what is held go on."""
        Server.released.set()
        self.answer(200, {})

    def get_stream(self) -> None:
        """Send one line, and the next after the release."""
        self._start_chunks()
        self.chunk(b'{"line": 1}\n')
        Server.released.wait(LONGEST_SECONDS)
        self.chunk(b'{"line": 2}\n')
        self.chunk(b"")

    def get_endless(self) -> None:
        """Send lines until the other side leaves."""
        self._start_chunks()
        end = time.monotonic() + LONGEST_SECONDS
        try:
            while time.monotonic() < end:
                self.chunk(b"line\n")
                time.sleep(0.01)
        except OSError:
            Server.left.set()
        self.close_connection = True

    def get_left(self) -> None:
        """Wait until the other side of an endless answer has left."""
        self.answer(200, {"left": Server.left.wait(LONGEST_SECONDS)})

    def get_cut(self) -> None:
        """Break off in the middle of a body."""
        self._start_chunks()
        self.chunk(b"half\n")
        self.close_connection = True

    def post_chatter(self) -> None:
        """Print without end from now on."""
        threading.Thread(target=self._chatter, daemon=True).start()
        self.answer(200, {})

    def _chatter(self) -> None:
        end = time.monotonic() + LONGEST_SECONDS
        while time.monotonic() < end:
            print("on and on" * 100, flush=True)

    def get_die(self) -> None:
        """End the container."""
        print("no space left on the moon", flush=True)
        os._exit(3)

    def _start_chunks(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/x-ndjson")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()


def main() -> None:
    """Serve as told on the command line, on the port of the environment."""
    if sys.argv[1] == "agent":
        Agent.ready_at = Agent.started_at + float(sys.argv[2] if len(sys.argv) > 2 else 0)
        handler: type[Handler] = Agent
        port = int(os.environ["PROBE_AGENT_PORT"])
    else:
        handler, port = Server, int(os.environ["PORT"])
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer(("127.0.0.1", port), handler).serve_forever()


if __name__ == "__main__":
    main()
