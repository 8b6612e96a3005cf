"""The runs that the fault tables of the documentation are made from."""

import pytest

from lab.faults.cells import CELLS, REAL_CELLS
from lab.pages import fault_table

EXPECTED = {"faults_standin": CELLS, "faults_ollama": REAL_CELLS}


@pytest.mark.parametrize("name", fault_table.RUNS)
def test_the_runs_have_every_state_and_fault_of_the_code(name: str) -> None:
    """A run that is kept has just the cells that the code knows, and for those that cannot be their reason."""
    kept = {
        (cell["state"], cell["fault"]): cell.get("no_sense", "") for cell in fault_table.read(name)["measured"]["cells"]
    }
    assert kept == {(cell.state, cell.fault): cell.no_sense for cell in EXPECTED[name]}, "run make faults"


@pytest.mark.parametrize("name", fault_table.RUNS)
def test_the_runs_that_are_kept_are_clean(name: str) -> None:
    """No cell that is shown had to be complained of."""
    assert fault_table.read(name)["targets"][0]["met"]
