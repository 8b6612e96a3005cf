"""`probe-agent check`: ask a running agent once. Standard library only, because it starts anew for every check."""

import http.client
import json

READY, NOT_READY, UNREACHABLE = 0, 1, 2
# A running agent answers from memory in milliseconds; longer means that it does not answer.
TIMEOUT_SECONDS = 2.0
ELSEWHERE = "Start it, or name its place: --host, and --port or PROBE_AGENT_PORT."


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
        return UNREACHABLE, f"no probe-agent answers at {host}:{port}: {error or type(error).__name__}. {ELSEWHERE}"
    except (ValueError, KeyError, TypeError) as error:
        return UNREACHABLE, f"what answers at {host}:{port} is not a probe-agent: {error}. {ELSEWHERE}"
    finally:
        connection.close()
    return (READY if answer.status == 200 else NOT_READY), line  # noqa: PLR2004 — HTTP's OK
