"""What ends a plan, each with the exit status of the command.

PlanError
 ├── SourceError       the model, the server or the file cannot be read (1)
 └── PlanRefused       what was asked for does not go together, or cannot be planned (2)
"""


class PlanError(Exception):
    """Base of all; its text says who, what, why, and what to do."""

    exit_status = 1


class SourceError(PlanError):
    """What is asked for cannot be read."""


class PlanRefused(PlanError):
    """The settings do not go together, or the model is of a kind that is not counted here."""

    exit_status = 2
