"""Faults inside the agent's own process: Python imports this at start where PYTHONPATH leads to it.

SIGUSR1 makes it read the JSON file that FAULTS_SHIM names: {"clock": seconds, "dns": bool, "stall": seconds}.
`clock` is added to the wall clock as the agent reads it; without `dns` no name resolves; `stall` blocks the event
loop once. Monotonic time is left alone: no machine sets it.
"""

import datetime as dt
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

FILE = Path(os.environ["FAULTS_SHIM"])
# What the agent knows its server by. Ollama answers to names under `localhost`; no machine need resolve it.
NAME = "ollama.localhost"
present: dict[str, Any] = {"clock": 0.0, "dns": True, "stall": 0.0}
true_time, true_getaddrinfo = time.time, socket.getaddrinfo


class ShiftedDatetime(dt.datetime):
    """The class under its own name, with another now."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Any:
        """Return the shifted instant."""
        return dt.datetime.now(tz) + dt.timedelta(seconds=present["clock"])


def _time() -> float:
    return true_time() + float(present["clock"])


def _getaddrinfo(host: Any, *rest: Any, **named: Any) -> Any:
    if host not in (NAME, NAME.encode()):
        return true_getaddrinfo(host, *rest, **named)
    if not present["dns"]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return true_getaddrinfo("127.0.0.1", *rest, **named)


def _told(_signal: int, _frame: FrameType | None) -> None:
    """In the main thread, which is the event loop's."""
    present.update(json.loads(FILE.read_text(encoding="utf-8")))
    # A copy is made in one piece; a list of the items is not, and another thread may be importing.
    for name, module in sys.modules.copy().items():
        if name.startswith("probe_agent.") and getattr(module, "datetime", None) is dt.datetime:
            module.datetime = ShiftedDatetime  # type: ignore[attr-defined]
    stall, present["stall"] = present["stall"], 0.0
    time.sleep(stall)


time.time, socket.getaddrinfo = _time, _getaddrinfo
signal.signal(signal.SIGUSR1, _told)
