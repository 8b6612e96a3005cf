"""What ends a load test, each with the exit status of the command.

LoadTestError
 ├── InputError     an option, a prompt file, a run file: nothing was sent (2)
 ├── ServiceError   the service refuses every request: no server, no such model, no right to ask (1)
 └── LocalError     the local service did not start, or ended (1)
"""


class LoadTestError(Exception):
    """Base of all; its text says who, what, why, and what to do."""

    exit_status = 1


class InputError(LoadTestError):
    """What the operator gave cannot be used."""

    exit_status = 2


class ServiceError(LoadTestError):
    """The service refuses what the test asks, and would refuse it for ever: the run ends."""


class LocalError(LoadTestError):
    """`ops up`, which runs the service here, did not bring it up or ended while it was measured."""
