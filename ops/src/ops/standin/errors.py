"""What can go wrong inside the stand-in, with the status that Ollama answers.

ApiError            any answer that is not 200: a status and Ollama's own sentence
 ├── LoadFailed     the runner could not be started
 └── RunnerLost     the runner died or closed the connection while it was asked
"""


class ApiError(Exception):
    """An answer other than 200: `status` is the HTTP status, `message` the text of the error field."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class LoadFailed(ApiError):
    """The runner could not be started; Ollama says 500 unless the engine knows better."""

    def __init__(self, message: str, status: int = 500) -> None:
        super().__init__(status, message)


class RunnerLost(ApiError):
    """The runner went away while it was asked; always 500."""

    def __init__(self, message: str = "an error was encountered while running the model: EOF") -> None:
        super().__init__(500, message)


def not_found(name: str) -> ApiError:
    """Ollama's 404 for a model that its store does not hold."""
    return ApiError(404, f"model '{name}' not found")
