"""What ends a push, each with the exit status of the command.

ModelsError
 ├── PushError         it failed on the way: damage, rights, the bucket, the network (1)
 └── ModelUnknown      there is no such model to push (2)
"""


class ModelsError(Exception):
    """Base of all; its text says what, why, and what to do."""

    exit_status = 1


class PushError(ModelsError):
    """The push failed; no manifest was published that was not there before."""


class ModelUnknown(ModelsError):
    """The name is none of a model's, or no store here holds the model."""

    exit_status = 2
