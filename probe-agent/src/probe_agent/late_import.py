"""Imports that come late, because they are slow, and may fail in a way that another try mends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ExtensionFileLoader
from threading import Lock

_ONE_AT_A_TIME = Lock()


@contextmanager
def whole_or_nothing() -> Iterator[None]:
    """Let the imports of the block succeed, or leave nothing of them; raises what they raise.

    Where no more files can be opened an import ends in the middle. The modules that had come by then stay, but not as
    attributes of the packages that are imported anew: every later try would fail, of that, for good. Compiled modules
    do stay: they are whole, and not made to be begun twice in one process.
    """
    with _ONE_AT_A_TIME:
        before = set(sys.modules)
        try:
            yield
        except Exception:
            for name in set(sys.modules) - before:
                spec = getattr(sys.modules[name], "__spec__", None)
                if not isinstance(getattr(spec, "loader", None), ExtensionFileLoader):
                    del sys.modules[name]
            raise
