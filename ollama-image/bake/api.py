"""HTTP to Ollama and to its runner, both on loopback."""

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bake.errors import BakeError

LOOPBACK = "127.0.0.1"
# For what Ollama answers from memory or a small file.
QUESTION_SECONDS = 30.0
# Between two lines of a pull, and for a conversion or a load, which say nothing for long: a 70B takes minutes.
WORK_SECONDS = 1800.0
LOOK_AT_LOG = "look at the server's lines above"


class Api:
    """One server on loopback; `who` is its name in errors."""

    def __init__(self, who: str, port: int) -> None:
        self.who = who
        self.port = port

    def get(self, path: str) -> Any:
        """Return a JSON answer; raises `BakeError`."""
        with self._answer("GET", path, None, QUESTION_SECONDS) as response:
            return json.loads(response.read())

    def post(self, path: str, fields: Mapping[str, Any], *, timeout: float = QUESTION_SECONDS) -> Any:
        """Send JSON and return the one JSON answer; raises `BakeError`."""
        with self._answer("POST", path, json.dumps(fields).encode(), timeout) as response:
            return json.loads(response.read())

    def follow(self, path: str, fields: Mapping[str, Any], told: Callable[[dict[str, Any]], object]) -> None:
        """Send JSON and hand over each line of the answer; raises `BakeError` unless the last says success."""
        line: dict[str, Any] = {}
        with self._answer("POST", path, json.dumps(fields).encode(), WORK_SECONDS) as response:
            for text in response:
                line = json.loads(text)
                if "error" in line:
                    raise self._failed(path, line["error"])
                told(line)
        if line.get("status") != "success":
            raise self._failed(path, f"the answer ended with {line.get('status')!r}, not with success")

    def upload(self, digest: str, file: Path) -> None:
        """Give Ollama a file as the blob `sha256:HEX`; raises `BakeError`."""
        path, headers = f"/api/blobs/{digest}", {"Content-Length": str(file.stat().st_size)}
        with file.open("rb") as body, self._answer("POST", path, body, WORK_SECONDS, headers) as response:
            response.read()

    @contextmanager
    def _answer(
        self, method: str, path: str, body: Any, timeout: float, headers: Mapping[str, str] | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            if response.status >= http.HTTPStatus.BAD_REQUEST:
                raise self._failed(path, f"{response.status} {_message(response.read())}")
            yield response
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._failed(path, repr(error)) from error
        finally:
            connection.close()

    def _failed(self, path: str, why: object) -> BakeError:
        return BakeError(self.who, path, why, LOOK_AT_LOG)


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, TypeError, KeyError):
        return content.decode(errors="replace").strip()[:300]
