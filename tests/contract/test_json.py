"""How Ollama reads a request's JSON: what a gateway before it must know, so that both understand the same."""

import pytest

from lab.ollama_server import PINNED, PINNED_CONTEXT, OllamaServer
from tests.contract.differences import has

ANOTHER_CONTEXT = 512
ANOTHER = f'{{"num_ctx": {ANOTHER_CONTEXT}}}'.encode()
TAKEN = [
    b'{"model": "pinned", "OPTIONS": %s}',
    b'{"model": "pinned", "Options": %s}',
    '{"model": "pinned", "option\u017f": %s}'.encode(),
    b'{"model": "pinned", "options": %s, "options": {"seed": 1}}',
    b'{"Model": "nope", "model": "pinned", "options": %s}',
    b'{"model": "nope", "Model": "pinned", "options": %s}',
    b'{"model": "pinned", "options": %s} {"model": "nope"}',
    b'{"model": "pinned", "options": %s} and more',
]
NOT_TAKEN = [b'{"model": "pinned", "options": {"NUM_CTX": 2048}}', b'{"model": "pinned", "option": %s}']


@pytest.fixture
def go(server: OllamaServer) -> OllamaServer:
    """A server with nothing loaded that reads JSON as Go does."""
    if not has(server, "json like Go"):
        pytest.skip("the stand-in reads JSON strictly")
    return server


@pytest.mark.parametrize("body", TAKEN)
def test_ollama_folds_keys_merges_doubles_and_ignores_the_rest(go: OllamaServer, body: bytes) -> None:
    """Each of these bodies loads the model with the other context: ways round a pin."""
    assert go.http.post("/api/generate", content=body % ANOTHER).status_code == 200
    assert go.loaded()["context_length"] == ANOTHER_CONTEXT


@pytest.mark.parametrize("body", NOT_TAKEN)
def test_keys_inside_options_are_exact(go: OllamaServer, body: bytes) -> None:
    """Only the keys of the request itself are folded."""
    assert go.http.post("/api/generate", content=body.replace(b"%s", ANOTHER)).status_code == 200
    assert go.loaded()["context_length"] == PINNED_CONTEXT


@pytest.mark.parametrize("number", [b"4096.0", b"4.096e3"])
def test_whole_numbers_may_be_written_as_fractions(go: OllamaServer, number: bytes) -> None:
    """A number is a number, whichever way it is written."""
    body = b'{"model": "pinned", "options": {"num_ctx": %s}}' % number
    assert go.http.post("/api/generate", content=body).status_code == 200
    assert go.loaded()["context_length"] == 4096


def test_a_folded_keep_alive_unloads(go: OllamaServer) -> None:
    """The Kelvin sign folds to k."""
    go.load(keep_alive=-1)
    body = '{"model": "pinned", "\u212aeep_alive": 0}'.encode()
    assert go.http.post("/api/generate", content=body).json()["done_reason"] == "unload"


def test_a_prompt_beyond_the_context_is_400_on_request(go: OllamaServer) -> None:
    """With truncate and shift false nothing is cut: the refusal comes before any part of an answer."""
    body = {"prompt": "word " * 2 * PINNED_CONTEXT, "truncate": False, "shift": False}
    answer = go.post("/api/generate", model=PINNED, **body)
    assert answer.status_code == 400
    assert "exceed" in answer.json()["error"]
