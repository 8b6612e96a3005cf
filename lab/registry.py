"""A registry of models on loopback, over TLS: as much of its protocol as a pull by Ollama takes.

with Registry(store, certificate) as registry: ollama.pull(f"{registry.host}/library/served:one")
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from lab.servers import LOOPBACK, LoopbackServer
from probe_agent.ollama.names import DEFAULT_HOST


class Registry(LoopbackServer):
    """Serves the models of a store in Ollama's layout; `host` goes before their names."""

    def __init__(self, store: Path, certificate: Path) -> None:
        self._store = store
        routes = [
            Route("/v2/{namespace}/{model}/manifests/{tag}", self._manifest),
            Route("/v2/{namespace}/{model}/blobs/{digest}", self._blob),
            Route("/content/{digest}", self._content),
        ]
        super().__init__(Starlette(routes=routes), certificate=certificate)
        self.host = f"{LOOPBACK}:{self.port}"

    async def _manifest(self, request: Request) -> Response:
        parts = (request.path_params[part] for part in ("namespace", "model", "tag"))
        return _file(self._store.joinpath("manifests", DEFAULT_HOST, *parts), "MANIFEST_UNKNOWN")

    async def _blob(self, request: Request) -> Response:
        # Ollama wants to be sent elsewhere, as a registry sends to its storage: to another host, for a file answered
        # in place is an error to it.
        if request.method == "GET":
            return RedirectResponse(f"https://localhost:{self.port}/content/{request.path_params['digest']}")
        return await self._content(request)

    async def _content(self, request: Request) -> Response:
        return _file(self._store / "blobs" / request.path_params["digest"].replace(":", "-"), "BLOB_UNKNOWN")


def _file(path: Path, code: str) -> Response:
    # FileResponse knows HEAD and ranges.
    if path.is_file():
        return FileResponse(path, media_type="application/octet-stream")
    return JSONResponse({"errors": [{"code": code, "message": "unknown"}]}, 404)


def write_certificate(folder: Path) -> Path:
    """Write a key and its self-signed certificate for loopback: Go trusts it by SSL_CERT_FILE."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a registry under test")])
    now = dt.datetime.now(dt.UTC)
    hosts = (x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(LOOPBACK)))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path
