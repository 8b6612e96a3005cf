"""OLLAMA_HOST, read as Ollama reads it."""

from dataclasses import dataclass

DEFAULT_PORT = 11434
# The port of an address with a scheme and without a port; without a scheme it is DEFAULT_PORT.
SCHEME_PORTS = {"http": 80, "https": 443}
HIGHEST_PORT = 65535
LOOPBACK = ("127.", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Host:
    """Where Ollama listens, or where its clients find it; an empty `name` is every interface."""

    scheme: str
    name: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only the same machine (on Cloud Run: the same instance) can connect."""
        return self.name.startswith(LOOPBACK)


def parse(text: str) -> Host:
    """Read [SCHEME://]HOST[:PORT][/PATH]; like Ollama, take the default for what is missing or no port.

    >>> parse("0.0.0.0").port, parse("http://0.0.0.0").port, parse(":8080")
    (11434, 80, Host(scheme='http', name='', port=8080))
    """
    scheme, separator, rest = text.strip().strip("\"'").partition("://")
    if not separator:
        scheme, rest = "http", scheme
    default = SCHEME_PORTS.get(scheme, DEFAULT_PORT) if separator else DEFAULT_PORT
    address = rest.partition("/")[0]
    name, port = _split(address)
    if not (port.isascii() and port.isdecimal() and int(port) <= HIGHEST_PORT):
        port = str(default)
    return Host(scheme, name.strip("[]"), int(port))


def _split(address: str) -> tuple[str, str]:
    """Return host and port; an IPv6 address has colons of its own, and brackets where a port follows."""
    if not address:
        return "127.0.0.1", ""
    if address.endswith("]") or (address.count(":") > 1 and not address.startswith("[")):
        return address, ""
    name, _, port = address.rpartition(":") if ":" in address else (address, "", "")
    return name, port
