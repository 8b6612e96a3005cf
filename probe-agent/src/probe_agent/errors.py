"""Every error that the agent raises, in one tree.

ProbeAgentError
├── SettingsError            the environment is wrong; lists every bad variable
├── IllegalTransition        a bug: an observation that its state does not know
├── ManifestRefused          a manifest, Ollama's or the image's, that cannot be used
├── SourceError              a model source did not deliver; says why and what to do
│   └── BlobDamaged          a blob is not what its name says: no retry can mend it
└── OllamaError              Ollama did not do what was asked; says why and what to do
    ├── ServerUnreachable    nobody listens, or the connection broke
    ├── ServerTimeout        no whole answer within the call's time-out
    ├── BadAnswer            an answer that is not Ollama's: no JSON, cut short, wrong shape
    └── RequestRefused       an answer with an error status
"""

from collections.abc import Sequence

from probe_agent.text import printable


def cause_of(error: BaseException) -> str:
    """Return what an error says, in printable text; where it says nothing, the name of its class."""
    return printable(str(error)) or type(error).__name__


class ProbeAgentError(Exception):
    """Base of all errors of this package."""


class SettingsError(ProbeAgentError):
    """The environment is wrong: `problems` has one line for each bad variable."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class IllegalTransition(ProbeAgentError):
    """An observation that the present state does not know, or that proves nothing; nothing was changed."""


class ManifestRefused(ProbeAgentError, ValueError):
    """A manifest that cannot be used: damaged, of another version, or with a name that leads out of the store."""


class SourceError(ProbeAgentError):
    """A model source did not deliver: `reason` says which one, what and why, `action` what to do."""

    action = "Nothing: the agent tries again."

    def __init__(self, reason: str, *, action: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        if action is not None:
            self.action = action


class BlobDamaged(SourceError):
    """A blob is missing, short, or of other content than its name says; `blob` is its file name."""

    action = "Put the model into its place again (`gcloud storage rsync`, or the image's build), and deploy anew."

    def __init__(self, blob: str, fault: str) -> None:
        super().__init__(f"blob {blob} {fault}")
        self.blob = blob


class OllamaError(ProbeAgentError):
    """Ollama did not do what was asked: `reason` says who and why, `action` what to do."""

    action = "Look at the log of the ollama container."

    def __init__(self, reason: str, *, action: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        if action is not None:
            self.action = action


class ServerUnreachable(OllamaError):
    """Nobody listens at the address, or the connection broke before the answer was whole."""

    action = "Check that the ollama container runs and that PROBE_AGENT_OLLAMA_URL names its OLLAMA_HOST."


class ServerTimeout(OllamaError):
    """No whole answer within the call's time-out."""

    action = "Look for a hung runner or a starved CPU in the log of the ollama container; restart it if it stays."


class BadAnswer(OllamaError):
    """The answer is not one of Ollama's: not JSON, cut short, or of the wrong shape."""

    action = "Check that PROBE_AGENT_OLLAMA_URL leads to Ollama itself and not to a proxy's error page."


class RequestRefused(OllamaError):
    """Ollama answered with an error status (`status`, 400–599) and a message of its own (`message`)."""

    def __init__(self, status: int, message: str, *, request: str) -> None:
        super().__init__(f"{request} answered {status}: {message}")
        self.status = status
        self.message = message
