"""Imports that come late, because they are slow, and may fail in a way that another try mends."""

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_grpc = threading.Lock()


@contextmanager
def whole_or_nothing(*packages: str) -> Iterator[None]:
    """Let the imports of the block succeed, or leave nothing new of these top-level packages; raises what they raise.

    Where no more files can be opened an import ends in the middle. The modules that had come by then would stay, but
    not as attributes of the packages that are imported anew: every later try would fail, of that, for good. Others are
    left alone, because another thread may be importing them.
    """
    before = set(sys.modules)
    try:
        yield
    except Exception:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in packages:
                del sys.modules[name]
        raise


def import_grpc() -> None:
    """Import `grpc` before those who need it; raises what the import raises, and is over once and for all.

    Its compiled part must not be begun twice in a process: absl says "SetTimeZone() has already been called", and
    aborts. So where that part has failed, `grpc` is not to be found from then on, and the libraries do without.
    """
    with _grpc:  # who waited for another thread's import would begin it again the moment that one fails
        if "grpc" in sys.modules:
            return
        try:
            importlib.import_module("grpc")
        except Exception:
            if "grpc._cython.cygrpc" not in sys.modules:
                sys.modules["grpc"] = None  # type: ignore[assignment]  # Python's mark for what is not to be found
            raise
