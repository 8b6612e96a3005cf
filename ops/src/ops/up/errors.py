"""What can go wrong with a run, each with the exit status of the command.

UpError
 ├── ManifestError   the service.yaml cannot be read as a service (2)
 ├── LaunchError     a container or the front cannot be started here (2)
 ├── InstanceError   the instance failed: a probe, a container, a time-out (1)
 └── ChatError       the instance is up, but a chat through the ingress failed (1)
"""


class UpError(Exception):
    """Base of all; its text says who, what, why, and what to do."""

    exit_status = 1


class ManifestError(UpError):
    """The service.yaml is missing, is no YAML, or lacks or misspells what a service needs."""

    exit_status = 2


class LaunchError(UpError):
    """Something that the service needs is not on this machine: a program, a model, a free port."""

    exit_status = 2


class InstanceError(UpError):
    """The platform would have stopped the instance: a failed probe, or a container that ended."""


class ChatError(UpError):
    """A chat through the ingress brought no answer."""
