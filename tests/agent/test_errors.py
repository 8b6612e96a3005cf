"""The tree of errors: what each one tells a person."""

import inspect

import pytest

from probe_agent import errors
from probe_agent.errors import (
    BadAnswer,
    IllegalTransition,
    OllamaError,
    ProbeAgentError,
    RequestRefused,
    ServerTimeout,
    ServerUnreachable,
    SettingsError,
    cause_of,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ProbeAgentError)]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_in_the_drawn_tree(kind: type[ProbeAgentError]) -> None:
    """Every error of the package is drawn in the module's docstring."""
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", [ServerUnreachable, ServerTimeout, BadAnswer, RequestRefused])
def test_failures_of_ollama_share_a_base(kind: type[OllamaError]) -> None:
    """Whatever Ollama does wrong can be caught as one OllamaError."""
    assert issubclass(kind, OllamaError)


@pytest.mark.parametrize("kind", [SettingsError, IllegalTransition])
def test_our_own_errors_are_not_ollamas(kind: type[ProbeAgentError]) -> None:
    """What is wrong with the environment or the agent is not blamed on Ollama."""
    assert not issubclass(kind, OllamaError)


def test_settings_error_lists_every_problem() -> None:
    """A SettingsError keeps its problems, and reads as one line for each."""
    error = SettingsError(["A: bad", "B: bad"])

    assert error.problems == ("A: bad", "B: bad")
    assert str(error) == "A: bad\nB: bad"


@pytest.mark.parametrize("kind", [OllamaError, ServerUnreachable, ServerTimeout, BadAnswer])
def test_each_kind_says_what_to_do(kind: type[OllamaError]) -> None:
    """An error of Ollama has a reason and an action of its kind."""
    error = kind("nobody answers")

    assert (error.reason, str(error)) == ("nobody answers", "nobody answers")
    assert error.action == kind.action
    assert error.action.endswith(".")


def test_an_action_can_be_more_exact_than_its_kinds() -> None:
    """An action given at the raise overrules that of the kind, for this error alone."""
    assert ServerUnreachable("gone", action="Wait.").action == "Wait."
    assert ServerUnreachable("gone").action == ServerUnreachable.action


def test_a_refusal_names_request_status_and_message() -> None:
    """A refusal says which request was refused, with which status and in Ollama's own words."""
    error = RequestRefused(404, "model 'm' not found", request="/api/generate")

    assert error.reason == "/api/generate answered 404: model 'm' not found"
    assert (error.status, error.message) == (404, "model 'm' not found")
    assert error.action == OllamaError.action


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OSError("refused"), "refused"),
        (ConnectionResetError(), "ConnectionResetError"),
        (ValueError("a\x1b[2Jb\r\nc\ud83d"), r"a\x1b[2Jb\r\nc\ud83d"),
    ],
)
def test_an_error_always_has_a_cause(error: Exception, cause: str) -> None:
    """B4: an error without a text is named by its class; B2, B11: its text is made printable."""
    assert cause_of(error) == cause
