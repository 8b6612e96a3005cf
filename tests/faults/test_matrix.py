"""Every state of the agent under every fault: never READY without a model, never stuck, never called dead wrongly.

The cells run side by side from the first test on; each test waits for its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lab.faults import breaking
from lab.faults.cells import CELLS, REAL_CELLS, Cell
from lab.faults.matrix import Matrix
from lab.faults.subjects import real, scripted
from lab.servers import REAL_OLLAMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark.structures import ParameterSet

    from lab.faults.cells import Outcome

LANES, REAL_LANES = 4, 2
CELL_SECONDS = 120.0
"""For one cell with those before it in its lane, on a busy machine."""
pytestmark = pytest.mark.timeout(CELL_SECONDS + 30)


def cells_of(cells: list[Cell]) -> list[ParameterSet]:
    """Return those that can be, each with its name for pytest."""
    return [pytest.param(cell, id=f"{cell.state}-{cell.fault}") for cell in cells if not cell.no_sense]


def wanted(request: pytest.FixtureRequest, test: str) -> list[Cell]:
    """Return the cells of a test that this run of pytest has selected."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    chosen: list[Any] = [item.callspec.params["cell"] for item in items if item.originalname == test]
    return chosen


@pytest.fixture(scope="module")
def standin(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix[Cell, Outcome]]:
    """All selected cells against the scripted stand-in."""
    chosen = wanted(request, "test_the_stand_in_under_faults")
    with Matrix(tmp_path_factory.mktemp("faults"), scripted, chosen, LANES, breaking.run) as matrix:
        yield matrix


@pytest.fixture(scope="module")
def ollama(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix[Cell, Outcome]]:
    """All selected cells against a real Ollama, where there is one."""
    if (binary := REAL_OLLAMA) is None:
        pytest.skip("no real Ollama: set OLLAMA_BIN")
    chosen = wanted(request, "test_a_real_ollama_under_faults")
    home = tmp_path_factory.mktemp("faults")
    with Matrix(home, lambda folder, _: real(folder, binary), chosen, REAL_LANES, breaking.run) as matrix:
        yield matrix


@pytest.mark.parametrize("cell", cells_of(CELLS))
def test_the_stand_in_under_faults(standin: Matrix[Cell, Outcome], cell: Cell) -> None:
    """A cell shows nothing that must not be: see `cells.complaints`."""
    found = standin.futures[cell].result(CELL_SECONDS).as_json()
    assert found["complaints"] == [], json.dumps(found, indent=1)


@pytest.mark.parametrize("cell", cells_of(REAL_CELLS))
def test_a_real_ollama_under_faults(ollama: Matrix[Cell, Outcome], cell: Cell) -> None:
    """The same holds where the server, its runner and its model are real."""
    found = ollama.futures[cell].result(CELL_SECONDS).as_json()
    assert found["complaints"] == [], json.dumps(found, indent=1)
