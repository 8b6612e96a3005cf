"""Who may ask a server that listens on loopback: Ollama refuses what a hostile web page could send there."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

_LOCAL_DOMAINS = (".localhost", ".local", ".internal")
_LOCAL_ORIGINS = {"localhost", "127.0.0.1", "0.0.0.0"}  # noqa: S104 -- an origin, nothing is bound


def allowed(headers: Mapping[str, str]) -> bool:
    """Whether Ollama on a loopback bind would answer a request with these headers."""
    host = headers.get("host", "")
    return _local_host(urlsplit(f"//{host}").hostname or "") and _local_origin(headers.get("origin"), host)


def _local_host(name: str) -> bool:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name in {"", "localhost", socket.gethostname().lower()} or name.endswith(_LOCAL_DOMAINS)
    return address.is_private or address.is_loopback or address.is_unspecified


def _local_origin(origin: str | None, host: str) -> bool:
    if origin is None:
        return True
    parts = urlsplit(origin)
    if parts.scheme not in {"http", "https"}:
        return parts.scheme in {"app", "file", "tauri", "vscode-webview", "vscode-file"}
    return parts.hostname in _LOCAL_ORIGINS or parts.netloc == host
