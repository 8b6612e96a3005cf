"""The Ollama API without Ollama: what `ops up` runs where there is none, and the tests' double.

    server = StandIn(models=[ServedModel("m")], engine=ScriptedEngine(load_seconds=0.05))

is an ASGI application; `python -m ops.standin serve` is the process over llama.cpp. With OLLAMA_MODELS it serves a
store on disk in Ollama's layout, read-only or not, and adds to it what `/api/blobs` and `/api/create` bring.
"""

from ops.standin.errors import ApiError, LoadFailed, RunnerLost
from ops.standin.faults import Hang, NotJson, Reset, SlowBytes, Status, Truncate
from ops.standin.models import ServedModel
from ops.standin.scripted import ScriptedEngine
from ops.standin.server import StandIn

__all__ = [
    "ApiError",
    "Hang",
    "LoadFailed",
    "NotJson",
    "Reset",
    "RunnerLost",
    "ScriptedEngine",
    "ServedModel",
    "SlowBytes",
    "StandIn",
    "Status",
    "Truncate",
]
