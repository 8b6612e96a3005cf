"""The routes that change the store. Without a store on disk all are refused; with one, an image build needs three.

POST, HEAD  /api/blobs/sha256:HEX    uploads a file, or asks whether it is there
POST        /api/create              makes a model of one GGUF file, or derives one with other parameters
DELETE      /api/delete

The answers are Ollama's. What is not supported is refused with a sentence of our own. Ollama's errors of the file
system begin with the call that failed (`open PATH: permission denied`); these lack that word.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ops.standin import wire
from ops.standin.answers import ClientGone
from ops.standin.creation import Creation
from ops.standin.disk import DiskStore
from ops.standin.errors import ApiError, not_found
from ops.standin.models import Store
from probe_agent.errors import ManifestRefused

_OF_A_STORE = ("create", "delete", "blobs/{digest}")
_OF_A_REGISTRY = ("pull", "push", "copy", "me", "signout")
_VERBS = ["GET", "POST", "DELETE", "HEAD"]
_MISSING = "missing request body"


def refusals(names: tuple[str, ...] = _OF_A_STORE + _OF_A_REGISTRY) -> list[Route]:
    """Return routes that refuse."""
    return [Route(f"/api/{name}", _refuse, methods=_VERBS) for name in names]


class Administration:
    """The routes of one stand-in with a store on disk."""

    def __init__(self, models: Store, disk: DiskStore) -> None:
        self._models = models
        self._disk = disk

    def routes(self) -> list[Route]:
        """Every administrative route, those that need a registry refused."""
        return [
            Route("/api/blobs/{digest}", self.has_blob, methods=["HEAD"]),
            Route("/api/blobs/{digest}", self.take_blob, methods=["POST"]),
            Route("/api/create", self.create, methods=["POST"]),
            Route("/api/delete", self.delete, methods=["DELETE"]),
            *refusals(_OF_A_REGISTRY),
        ]

    async def has_blob(self, request: Request) -> Response:
        """HEAD /api/blobs/sha256:HEX: 200 or 404."""
        digest = request.path_params["digest"]
        if not self._disk.blob(digest).exists():
            raise ApiError(404, f'blob "{digest}" not found')
        return Response()

    async def take_blob(self, request: Request) -> Response:
        """POST /api/blobs/sha256:HEX: 201, or 200 unread when it is there; 400 for another content than the name's."""
        digest = request.path_params["digest"]
        if self._disk.blob(digest).exists():
            # What was not read of the body would be taken for the next request.
            return Response(headers={"Connection": "close"})
        with _in_words():
            try:
                with self._disk.adding() as new:
                    async for piece in request.stream():
                        new.write(piece)
            except ClientDisconnect as error:
                raise ClientGone from error
        if (found := f"sha256:{new.ref.sha256}") != digest:
            raise ApiError(400, f'digest mismatch, expected "{digest}", got "{found}"')
        return Response(status_code=201)

    async def create(self, request: Request) -> Response:
        """POST /api/create: a status a line; an error has its HTTP status before the first of them, else is a line."""
        body = wire.json_object(await request.body(), empty=_MISSING)
        creation = Creation(self._models, self._disk, body)
        steps = _told(creation.steps())
        # A thread, since gigabytes are copied meanwhile.
        first = await asyncio.to_thread(next, steps)
        if body.get("stream", True):
            return StreamingResponse(_lines(first, steps), media_type="application/x-ndjson")
        return JSONResponse({"status": (await asyncio.to_thread(list, steps) or [first])[-1]})

    async def delete(self, request: Request) -> Response:
        """DELETE /api/delete: 200; a model that is loaded stays loaded."""
        body = wire.json_object(await request.body(), empty=_MISSING)
        name = wire.text_field(body, "model") or wire.text_field(body, "name")
        if not name:
            raise ApiError(400, "model is required")
        try:
            full = wire.full_name(name)
        except ApiError as error:
            raise ApiError(400, f'name "{name}" is invalid') from error
        with _in_words():
            try:
                manifest = self._disk.manifest(full)
            except FileNotFoundError as error:
                raise not_found(name) from error
            self._disk.remove(manifest)
        with contextlib.suppress(KeyError):  # one that could not be served
            self._models.remove(full)
        return Response()


async def _lines(first: str, steps: Iterator[str]) -> AsyncIterator[bytes]:
    status: str | None = first
    try:
        while status is not None:
            yield wire.go_json({"status": status})
            status = await asyncio.to_thread(next, steps, None)
    except ApiError as error:
        yield wire.go_json({"error": error.message})


def _told(steps: Iterator[str]) -> Iterator[str]:
    with _in_words():
        yield from steps


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Make ApiError 500 of what the file system refuses, and of a manifest, a layer or a GGUF file that is damaged."""
    try:
        yield
    except OSError as error:
        raise ApiError(500, f"{error.filename}: {(error.strerror or str(error)).lower()}") from error
    except (ManifestRefused, ValueError, TypeError) as error:
        raise ApiError(500, str(error)) from error


async def _refuse(request: Request) -> Response:
    """Anything that would change the store: 403, with the way out."""
    text = f"{request.url.path} is not part of the stand-in: set OLLAMA_STANDIN_MODELS, or run a real Ollama"
    raise ApiError(403, text)
