"""The command line of `ops loadtest`: defaults, readers, and what each refuses."""

import pytest

from ops import cli
from ops.__main__ import main
from ops.loadtest.loads import Loop
from ops.loadtest.options import Goal, Options


def parsed(*words: str) -> tuple[Options, Goal]:
    """Return the options of a command line."""
    found: list[tuple[Options, Goal]] = []
    app = cli.make_app("test", "")

    @app.default
    def run(options: Options = Options(), goal: Goal = Goal()) -> int:  # noqa: B008 — both are frozen
        found.append((options, goal))
        return 0

    assert cli.run(app, words) == 0
    return found[0]


def test_options_have_defaults_and_are_read() -> None:
    """Levels ascend without duplicates; a rate makes the loop open; errors are limited unless said otherwise."""
    assert parsed("http://h")[0].levels == (1, 2, 4, 8)
    asked, goal = parsed("http://h/", "--rates", "4,0.5,4", "--slo", "ttft_p95=2s", "--warmup", "0")
    assert (asked.url, asked.loop, asked.levels, asked.warmup) == ("http://h", Loop.OPEN, (0.5, 4), 0)
    assert [limit.text for limit in goal.limits] == ["ttft_p95=2s", "errors=1%"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:11434", "http://127.0.0.1:11434"), ("localhost", "http://localhost"), ("https://h/", "https://h")],
)
def test_an_address_without_a_scheme_is_http(text: str, expected: str) -> None:
    """As Ollama reads its own address."""
    assert parsed(text)[0].url == expected


def test_several_values_of_an_option_are_kept() -> None:
    """Repeated options add up, in order."""
    asked, goal = parsed("h", "--set", "A=1", "--set", "B=2=3", "--slo", "errors=2%", "--slo", "e2e_p50=1s")
    assert asked.variables == (("A", "1"), ("B", "2=3"))
    assert [limit.text for limit in goal.slo] == ["errors=2%", "e2e_p50=1s"]


def test_of_an_option_given_twice_the_last_counts() -> None:
    """So a shell's alias can be overridden."""
    assert parsed("h", "--seed", "1", "--warmup", "2s", "--seed", "5", "--warmup", "0")[0].seed == 5


def test_the_example_of_the_help_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    """An option of `ops up` is given as the help of both commands shows it."""
    example = "--up-options=--standin"
    assert parsed("--up", "f", example)[0].up_options == ("--standin",)
    for command in (["loadtest", "run"], ["quality"]):
        assert main([*command, "--help"]) == 0
        assert example in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["ftp://h"], "--url: expected http://HOST:PORT or https://HOST, found 'ftp://h'"),
        (["h", "--concurrency", "0"], "--concurrency: expected a whole number from 1 to 1000, found '0'"),
        (["h", "--rates", "x"], "--rates: expected a number from 0.001 to 10000, found 'x'"),
        (["h", "--slo", "x"], "--slo: expected ttft_p95=2s"),
        (["h", "--duration", "0"], "--duration: expected a duration such as 2s or 500ms, found '0'"),
        (["h", "--prompt-tokens", "x"], "--prompt-tokens: expected TOKENS"),
        (["h", "--shared-prefix", "2"], "--shared-prefix: expected a number from 0 to 1, found '2'"),
        (["h", "--set", "x"], "--set: expected NAME=VALUE, found 'x'"),
        (["h", "--api", "x"], '"native", "openai"'),
        (["h", "--temperature"], "--temperature needs a value"),
        (["h", "more"], "unexpected 'more'"),
        (["h", "--sideways"], "Unknown option: --sideways"),
    ],
)
def test_bad_options_are_refused(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and one line that says which option, what was expected and where to read on."""
    assert main(["loadtest", "run", *words]) == 2
    line = capsys.readouterr().err
    assert line.startswith("ops loadtest run: ")
    assert complaint in line
    assert line.endswith("; `ops loadtest run --help` lists what it takes\n")
    assert line.count("\n") == 1


def test_a_password_in_an_address_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The refusal says what is wrong without the secret."""
    assert main(["loadtest", "run", "http://name:secret@h"]) == 2
    error = capsys.readouterr().err
    assert "expected an address without user and password" in error
    assert "secret" not in error
