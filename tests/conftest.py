"""What every test stands on, and the last lines of a run."""

import hypothesis
import pytest

# A busy machine is no defect of what is tested: time is the benchmarks' business.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

TESTED_OLLAMA = "the real Ollama"
"""A property of the tests that one took part in: its version and its binary."""
NOT_TESTED = {
    ("tests/contract/", "no real Ollama"): (
        "behaviour suite: the real-Ollama half was SKIPPED, there is no ollama here; "
        "run `OLLAMA_BIN=/path/to/ollama make test-live`"
    ),
    ("tests/image/", "no real Ollama"): (
        "image suite: what needs a real Ollama was SKIPPED, there is none with a llama-server here; "
        "run `OLLAMA_BIN=/path/to/ollama .venv/bin/python -m pytest tests/image`"
    ),
    ("tests/ops/integration/test_loadtest_browser.py", "no chromium"): (
        "load test's report: NOT LOOKED AT in a browser, there is none here; `apt-get install chromium`, then "
        "`pytest tests/ops/integration/test_loadtest_browser.py`"
    ),
}
"""By where tests were skipped, and for which reason."""


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio is what uvicorn runs the agent on."""
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines what was tested against a real Ollama, and what was not for lack of one, or of a browser.

    Here, because where workers run the tests, the process that writes these lines reads no conftest further down.
    """
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    tested = {str(value) for each in passed for name, value in each.user_properties if name == TESTED_OLLAMA}
    for ollama in sorted(tested):
        terminalreporter.write_line(f"behaviour suite: ran against a real Ollama {ollama} too")
    for (where, reason), line in NOT_TESTED.items():
        if any(each.nodeid.startswith(where) and reason in str(each.longrepr) for each in skipped):
            terminalreporter.write_line(line, yellow=True, bold=True)
