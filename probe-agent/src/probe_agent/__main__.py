"""The entry point: obeys signals from the first instant, then imports and runs what was asked for."""

import signal
import sys
import time


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    started = time.monotonic()
    # The imports take half a second, and the kernel keeps from process 1 every signal that it has no handler for.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _end)
    if arguments is None:
        arguments = sys.argv[1:]
    if arguments[:1] == ["check"]:
        from probe_agent import check  # noqa: PLC0415 — after the handlers

        return check.main(arguments[1:])
    from probe_agent import server  # noqa: PLC0415 — after the handlers, and not for `check`

    return server.main(arguments, started)


def _end(_number: int, _frame: object) -> None:
    """End a process that does not serve yet; the server brings handlers of its own."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
