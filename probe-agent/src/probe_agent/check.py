"""`probe-agent check`: ask a running agent once. Standard library only: it starts anew for every health check."""

import argparse
import http.client
import json
import os
from contextlib import suppress

READY, NOT_READY, UNREACHABLE = 0, 1, 2
# A running agent answers from memory in milliseconds; longer means that it does not answer.
TIMEOUT_SECONDS = 2.0
ELSEWHERE = "Start it, or say where it runs: --host, and --port or PROBE_AGENT_PORT."
STDOUT = 1


def main(arguments: list[str]) -> int:
    """Run the command; print one line and return the exit status."""
    parser = argparse.ArgumentParser("probe-agent check", description="Ask a running agent whether it is ready.")
    parser.add_argument("--host", default="127.0.0.1", help="address of the agent (default: %(default)s)")
    default = os.environ.get("PROBE_AGENT_PORT") or "9090"
    parser.add_argument("--port", type=_port, default=default, help="its port (default: PROBE_AGENT_PORT, else 9090)")
    options = parser.parse_args(arguments)
    status, line = check(options.port, options.host)
    with suppress(OSError):  # past Python's buffer: at exit an unwritable stdout would make status 120 of it
        os.write(STDOUT, f"{line}\n".encode(errors="backslashreplace"))
    return status


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:  # noqa: PLR2004 — TCP's bounds
        return int(text)
    raise argparse.ArgumentTypeError(f"expected 1 to 65535, here or in PROBE_AGENT_PORT, found {text!r}")


def check(port: int, host: str = "127.0.0.1", timeout: float = TIMEOUT_SECONDS) -> tuple[int, str]:
    """Return the exit status and one line for a person: 0 ready, 1 not ready, 2 no agent there."""
    try:
        connection = http.client.HTTPConnection(host, port, timeout=timeout)
    except http.client.InvalidURL as error:
        return UNREACHABLE, f"{host}:{port} is no address: {error}"
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        line = f"{body['state']} for {body['since_seconds']:.0f} s: {body['reason']}. {body['action']}"
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        cause = str(error) or type(error).__name__
        return UNREACHABLE, f"no probe-agent answers at {host}:{port}: {cause}. {ELSEWHERE}"
    except (ValueError, KeyError, TypeError) as error:
        return UNREACHABLE, f"what answers at {host}:{port} is not a probe-agent: {error}. {ELSEWHERE}"
    finally:
        connection.close()
    return (READY if answer.status == 200 else NOT_READY), line  # noqa: PLR2004 — HTTP's OK
