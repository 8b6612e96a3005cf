"""The engine that answers: llama.cpp, one child process per loaded model, asked over HTTP.

A child, because Ollama's runner is one: it can be killed and hung by a signal without the server.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import ssl
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import httpx

from ops.gguf_file import Header, read_header
from ops.standin.engine import LoadOptions, Memory, Piece
from ops.standin.errors import ApiError, LoadFailed, RunnerLost
from ops.standin.models import ServedModel
from ops.standin.prompt import Prompt

_RUNNER = Path(__file__).with_name("llama_runner.py")
# Tokens: llama.cpp rounds a slot's context up to a multiple of this.
_CONTEXT_STEP = 256
# Tokens at the start of a prompt that truncation keeps; Ollama starts its runner with --keep 4.
_KEPT_TOKENS = 4
# Connecting to loopback is instant; the first token of a full context on a slow CPU takes minutes.
_TIMEOUT = httpx.Timeout(5.0, read=600.0)
# llama.cpp's server closes kept connections without notice, and a new one on loopback costs nothing.
_NO_REUSE = httpx.Limits(max_keepalive_connections=0)
# Loopback speaks plain HTTP; httpx would read all of the machine's certificates at every load.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_SAMPLING = {
    "num_predict": "n_predict",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "seed": "seed",
    "stop": "stop",
    "repeat_penalty": "repeat_penalty",
    "repeat_last_n": "repeat_last_n",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
_DONE_REASONS = {"limit": "length"}


def stored_model(name: str, path: Path, num_ctx: int | None = None, *, digest: str = "") -> ServedModel:
    """Describe a GGUF file as Ollama would; OSError, or NotGguf for another kind of file.

    `digest` is the SHA-256 of the file where that is known: 64 hex digits.
    """
    header = read_header(path)
    if not digest:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    pooling = f"{header.architecture}.pooling_type" in header.fields
    return ServedModel(
        name=name,
        num_ctx=num_ctx,
        trained_context=header.whole("context_length", 2048),
        path=path,
        # A derived model has a manifest of its own, so another digest than its blob.
        digest=digest if num_ctx is None else hashlib.sha256(f"{digest} {num_ctx}".encode()).hexdigest(),
        blob=digest,
        size=path.stat().st_size,
        capabilities=("embedding",) if pooling else ("completion",),
        quantization_level=header.quantization,
        family=header.architecture,
        parameter_size=parameter_size(header.parameter_count),
        embedding_length=header.whole("embedding_length", 0),
        info={**_scalars(header), "general.parameter_count": header.parameter_count},
    )


def _scalars(header: Header) -> dict[str, Any]:
    """Return the fields that a short /api/show has: no arrays."""
    return {key: value for key, value in header.fields.items() if not isinstance(value, list)}


def parameter_size(count: int) -> str:
    """Return a number of parameters as Ollama writes it, such as "134.52M" or "3.2B"."""
    billions, millions = count / 1e9, count / 1e6
    if billions >= 1:
        return f"{billions:.0f}B" if billions.is_integer() else f"{billions:.1f}B"
    return f"{millions:.0f}M" if millions.is_integer() else f"{millions:.2f}M"


def _cache_bytes(header: Header, tokens: int) -> int:
    """Return the bytes of a KV cache of `tokens` at sixteen bits a number."""
    heads = header.whole("attention.head_count", 1)
    width = header.whole("embedding_length", 0) // max(heads, 1)
    keys_and_values = 2 * header.whole("attention.head_count_kv", heads) * width
    return tokens * header.whole("block_count", 0) * keys_and_values * 2


class LlamaCppEngine:
    """Starts llama.cpp runners."""

    def __init__(self, *, kv_cache_type: str = "f16", cache_ram_mib: int = 8192, threads: int = 0) -> None:
        self._kv_cache_type = kv_cache_type
        self._cache_ram_mib = cache_ram_mib
        self._threads = threads

    async def start(self, model: ServedModel, options: LoadOptions, *, parallel: int) -> LlamaCppRunner:
        """Start a child and wait until it serves; LoadFailed when it ends before."""
        if model.path is None:
            raise LoadFailed(f"model '{model.name}' has no file: give it a path")
        asked = {
            "path": str(model.path),
            "num_ctx": options.num_ctx,
            "parallel": parallel,
            "shift": options.shift,
            "num_batch": options.num_batch,
            "num_thread": options.num_thread or self._threads,
            "embedding": "embedding" in model.capabilities,
            "kv_cache_type": self._kv_cache_type,
            "cache_ram_mib": self._cache_ram_mib,
        }
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, str(_RUNNER), json.dumps(asked))
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        try:
            address = await _address(process, model)
        except BaseException:
            await _end(process)
            raise
        memory = Memory(model.size + _cache_bytes(Header(model.info), options.num_ctx * parallel), vram=0)
        return LlamaCppRunner(process, address, options.num_ctx, memory)


class LlamaCppRunner:
    """One child process with a loaded model."""

    def __init__(self, process: Process, address: str, num_ctx: int, memory: Memory) -> None:
        self.memory = memory
        self._process = process
        self._context = -(-num_ctx // _CONTEXT_STEP) * _CONTEXT_STEP
        self._http = httpx.AsyncClient(
            base_url=address, timeout=_TIMEOUT, limits=_NO_REUSE, trust_env=False, verify=_NO_TLS
        )

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.send_signal(signal.SIGKILL)

    def hang(self) -> None:
        """Send SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    async def stop(self) -> None:
        """Kill the child and wait for its end."""
        await _end(self._process)
        await self._http.aclose()

    async def ping(self) -> None:
        """Ask for its health."""
        await self._ask("GET", "/health")

    async def complete(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        """Stream a completion."""
        tokens = await self._tokens(prompt)
        body = {"prompt": tokens, "stream": True, "cache_prompt": True, **_sampling(prompt)}
        try:
            async with self._http.stream("POST", "/completion", json=body) as response:
                if not response.is_success:
                    raise _refusal(await response.aread(), response.status_code)
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        yield _piece(json.loads(line.removeprefix("data: ")))
        except httpx.TransportError as error:
            raise RunnerLost from error

    async def embed(self, texts: Sequence[str]) -> tuple[list[list[float]], int]:
        """Ask for one vector a text."""
        answer = await self._ask("POST", "/v1/embeddings", {"input": list(texts)})
        return [entry["embedding"] for entry in answer["data"]], int(answer["usage"]["prompt_tokens"])

    async def _tokens(self, prompt: Prompt) -> list[int]:
        messages = list(prompt.messages)
        tokens = await self._tokenize(messages, prompt.text)
        while len(tokens) > self._context and prompt.truncate and len(messages) > 1:
            # The oldest goes first, but the system message stays.
            del messages[1 if messages[0].get("role") == "system" and len(messages) > 2 else 0]  # noqa: PLR2004 -- a pair
            tokens = await self._tokenize(messages, prompt.text)
        return self._fit(tokens, truncate=prompt.truncate)

    async def _tokenize(self, messages: list[Any], text: str) -> list[int]:
        if messages:
            text = (await self._ask("POST", "/apply-template", {"messages": messages}))["prompt"]
        asked = {"content": text, "add_special": True, "parse_special": True}
        tokens: list[int] = (await self._ask("POST", "/tokenize", asked))["tokens"]
        return tokens

    def _fit(self, tokens: list[int], *, truncate: bool) -> list[int]:
        if len(tokens) <= self._context:
            return tokens
        if not truncate:
            text = f"request ({len(tokens)} tokens) exceeds the available context size ({self._context} tokens)"
            raise ApiError(400, f"{text}, try increasing it")
        half = (self._context - _KEPT_TOKENS) // 2
        return tokens[:_KEPT_TOKENS] + tokens[-half:]

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        try:
            response = await self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise RunnerLost from error
        if not response.is_success:
            raise _refusal(response.content, response.status_code)
        return response.json()


async def _address(process: Process, model: ServedModel) -> str:
    assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
    line = await process.stdout.readline()
    if not line:
        status = await process.wait()
        raise LoadFailed(f"llama runner process has terminated while loading {model.name}: exit status {status}")
    return str(json.loads(line)["address"])


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()


def _sampling(prompt: Prompt) -> dict[str, Any]:
    return {theirs: prompt.options[ours] for ours, theirs in _SAMPLING.items() if ours in prompt.options}


def _piece(event: dict[str, Any]) -> Piece:
    if not event["stop"]:
        return Piece(event["content"])
    times = event["timings"]
    return Piece(
        event["content"],
        _DONE_REASONS.get(event["stop_type"], "stop"),
        prompt_tokens=event["tokens_evaluated"],
        prompt_ns=int(times["prompt_ms"] * 1e6),
        tokens=event["tokens_predicted"],
        eval_ns=int(times["predicted_ms"] * 1e6),
    )


def _refusal(content: bytes, status: int) -> ApiError:
    try:
        return ApiError(status, json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return ApiError(status, content.decode(errors="replace"))
