"""Cloud Storage on loopback, as far as a download goes: objects from a folder, whole or in ranges, with faults."""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

BUCKET = "some-bucket"


class Serving:
    """Runs `_http` in a thread, as long as the block."""

    _http: HTTPServer

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._thread.join(10)
        self._http.server_close()


class BucketServer(Serving):
    """Serves `folder` as the bucket's content. `status` other than 0 is every answer; `asked` has every object's name.

    `spoil` may change what is sent of an object; `halt` is called before an answer, to let a test wait there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = 0
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.spoil: Callable[[str, bytes], bytes] = lambda _, content: content
        self.halt: Callable[[str], object] = lambda _: None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def answer(self, path: str, ranged: str | None) -> tuple[int, bytes]:
        """Return status and body for a download."""
        _, _, name = path.partition(f"/b/{BUCKET}/o/")
        name = unquote(name)
        if name:  # the library asks for the bucket itself, too
            self.asked.append(name)
        self.halt(name)
        file = self.folder / name
        if self.status or not name or not file.is_file():
            return self.status or 404, b"refused"
        content = self.spoil(name, file.read_bytes())
        if ranged is None:
            return 200, content
        start, _, end = ranged.removeprefix("bytes=").partition("-")
        if int(start) >= len(content):
            return 416, b"no such range"
        return 206, content[int(start) : int(end) + 1]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                bucket.tokens.append(self.headers.get("Authorization"))
                status, body = bucket.answer(urlsplit(self.path).path, self.headers.get("Range"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing: the test looks at `asked`."""

        return Handler
