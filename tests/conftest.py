"""What every test stands on."""

import hypothesis
import pytest

# A busy machine is no defect of what is tested: time is the benchmarks' business.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")


@pytest.fixture
def anyio_backend() -> str:
    """Asyncio is what uvicorn runs the agent on."""
    return "asyncio"
