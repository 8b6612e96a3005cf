"""What every test stands on, and the last lines of a run."""

import time

import hypothesis
import pytest

# A busy machine is no defect of what is tested: time is the benchmarks' business.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

# A property of the tests that a real Ollama took part in: its version and its binary.
TESTED_OLLAMA = "the real Ollama"
OUT_OF_TIME = "the time for this run is over"
# The last lines for tests that were skipped: by their folder and the reason.
NOT_TESTED = {
    ("tests/contract/", "no real Ollama"): (
        "contract suite: the half with a real Ollama was SKIPPED, OLLAMA_BIN is not set; "
        "run `OLLAMA_BIN=/path/to/ollama make test-live`"
    ),
    ("tests/image/", "no real Ollama"): (
        "image suite: what needs a real Ollama was SKIPPED, OLLAMA_BIN names none with a llama-server; "
        "run `OLLAMA_BIN=/path/to/ollama .venv/bin/python -m pytest tests/image`"
    ),
    ("tests/ops/integration/test_loadtest_browser.py", "no chromium"): (
        "load test's report: NOT LOOKED AT in a browser, there is none here; `apt-get install chromium`, then "
        "`pytest tests/ops/integration/test_loadtest_browser.py`"
    ),
}
BEGAN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that bounds a run's time."""
    parser.addoption("--start-within", type=float, metavar="SECONDS", help="skip tests that would start later")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that would start too late."""
    seconds = item.config.getoption("--start-within")
    if seconds is not None and time.monotonic() - BEGAN > seconds:
        pytest.skip(OUT_OF_TIME)


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio is what uvicorn runs the agent on."""
    return "asyncio"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in the last lines what was tested against a real Ollama, and what was not tested and why.

    It is here because the process that writes these lines does not read the conftest files of the folders below.
    """
    passed: list[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    tested = {str(value) for each in passed for name, value in each.user_properties if name == TESTED_OLLAMA}
    for ollama in sorted(tested):
        terminalreporter.write_line(f"contract suite: ran against a real Ollama {ollama} too")
    for (where, reason), line in NOT_TESTED.items():
        if any(each.nodeid.startswith(where) and reason in str(each.longrepr) for each in skipped):
            terminalreporter.write_line(line, yellow=True, bold=True)
    if late := sum(OUT_OF_TIME in str(each.longrepr) for each in skipped):
        terminalreporter.write_line(f"NOT RUN, out of time: {late} tests", yellow=True, bold=True)
