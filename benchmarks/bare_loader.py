"""The least that a client must do: connect, retrying, and load. The agent's way to "loaded" is measured against it."""

from __future__ import annotations

import sys
import time

import httpx

# As long as the agent waits.
RETRY_SECONDS = 0.01
# For one load of the small model: hanging up early would abort it.
LOAD_SECONDS = 120.0


def main() -> None:
    """Load MODEL with NUM_CTX at URL: the three arguments."""
    url, model, num_ctx = sys.argv[1:]
    body = {"model": model, "keep_alive": -1, "options": {"num_ctx": int(num_ctx)}, "stream": False}
    with httpx.Client(base_url=url, timeout=LOAD_SECONDS, trust_env=False, verify=False) as client:  # noqa: S501 — http
        print("waiting", flush=True)
        while True:
            try:
                client.post("/api/generate", json=body).raise_for_status()
            except httpx.ConnectError:
                time.sleep(RETRY_SECONDS)
            else:
                return


if __name__ == "__main__":
    main()
