"""Imports that come late, because they are slow, and may fail in a way that another try mends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
