"""What differs between versions of Ollama, in one table. Each row was observed on 0.13.5, 0.32.15 and 0.33.0-rc2.

A test asks `has(running, "NAME")` and states both behaviours, so that neither goes untested.
"""

from dataclasses import dataclass

from lab.ollama_server import OllamaServer


@dataclass(frozen=True, slots=True)
class Difference:
    """What a server of at least version `since` does (`is_so`) and an older one does (`was_so`).

    `since` lies between two versions that were observed. `stand_in` says whether the stand-in does as newer ones do.
    """

    since: tuple[int, ...]
    is_so: str
    was_so: str
    stand_in: bool = True


DIFFERENCES = {
    "external runner": Difference(
        (0, 30), "the runner is llama-server, with its own log", "the runner is inside the ollama binary"
    ),
    "context capped": Difference(
        (0, 30), "a num_ctx above the trained context is capped", "any num_ctx is given, 99999 too"
    ),
    "tags describe": Difference(
        (0, 32), "/api/tags has the trained context and the capabilities", "only /api/show has them"
    ),
    "restart is seen": Difference(
        (0, 30),
        "/api/ps drops a dead runner 2 ms after the request that restarts it",
        "it drops it after 50 ms, later on a busy machine: a check may find the restarted runner only",
    ),
    "invalid names": Difference((0, 30), "an invalid model name is 400", "an invalid model name is 404, not found"),
    "deletion names": Difference((0, 30), "DELETE without a model: model is required", 'it says: name "" is invalid'),
    "typed not found": Difference((0, 30), "/v1: an unknown model is a not_found_error", "/v1: it is an api_error"),
    "vectors refused": Difference(
        (0, 32), "a chat model refuses to embed with 501", "any model embeds with status 200"
    ),
    "shift restarts": Difference(
        (0, 32), '"shift": false restarts a runner started without it', '"shift" is a matter of each request'
    ),
    "import rewrites": Difference(
        (0, 32),
        "an imported GGUF is rewritten, and has another digest",
        "an imported GGUF is stored as it came",
        stand_in=False,
    ),
    "json like Go": Difference(
        (0, 0), "keys of JSON are folded, doubles merged, the rest ignored", "never", stand_in=False
    ),
}


def has(server: OllamaServer, name: str) -> bool:
    """Whether this server has the newer behaviour of a row."""
    difference = DIFFERENCES[name]
    if server.version.endswith("-standin"):
        return difference.stand_in
    return server.release >= difference.since
