"""OLLAMA_HOST means to us what it means to Ollama."""

import pytest

from probe_agent.ollama import host


@pytest.mark.parametrize(
    ("text", "name", "port"),
    [
        ("", "127.0.0.1", 11434),
        ("0.0.0.0", "0.0.0.0", 11434),
        ("0.0.0.0:8080", "0.0.0.0", 8080),
        ("http://0.0.0.0", "0.0.0.0", 80),
        ("https://example.com", "example.com", 443),
        ("http://127.0.0.1:11434/", "127.0.0.1", 11434),
        ("example.com/ollama", "example.com", 11434),
        (":8080", "", 8080),
        ("[::1]", "::1", 11434),
        ("[::]:8080", "::", 8080),
        ("::1", "::1", 11434),
        ('"0.0.0.0:8080" ', "0.0.0.0", 8080),
        ("0.0.0.0:http", "0.0.0.0", 11434),
        ("0.0.0.0:99999", "0.0.0.0", 11434),
        ("http://0.0.0.0:", "0.0.0.0", 80),
    ],
)
def test_every_form_is_read_as_ollama_reads_it(text: str, name: str, port: int) -> None:
    """A missing port is 11434, or the scheme's own; what is no port counts as missing."""
    found = host.parse(text)
    assert (found.name, found.port) == (name, port)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("localhost", True), ("[::1]:1", True), ("", True), ("0.0.0.0", False), (":1", False)],
)
def test_loopback_is_recognised(text: str, loopback: bool) -> None:
    """An address of the machine itself is loopback; every interface is not."""
    assert host.parse(text).is_loopback is loopback
