"""The agent in each state under each fault: never READY without a model, never stuck, never wrongly called dead."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import product

import pytest
from _pytest.mark.structures import ParameterSet

from lab.faults import breaking
from lab.faults.cells import CELLS, KINDS, REAL_CELLS, Cell, Fault, S, covering
from lab.faults.subjects import real, scripted
from lab.servers import REAL_OLLAMA

pytestmark = pytest.mark.timeout(150)


def cells_of(cells: Iterable[Cell], covered: Iterable[Cell] = ()) -> list[ParameterSet]:
    """Return those that can be, each with its name for pytest; only the covered ones run each time."""
    return [
        pytest.param(cell, id=f"{cell.state}-{cell.fault}", marks=[] if cell in covered else pytest.mark.nightly)
        for cell in cells
        if not cell.no_sense
    ]


@pytest.fixture(scope="module")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[breaking.Lane]:
    """The scripted stand-in with its proxy and bucket."""
    with breaking.lane(tmp_path_factory.mktemp("faults"), scripted) as lane:
        yield lane


@pytest.fixture(scope="module")
def ollama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[breaking.Lane]:
    """A real Ollama with its proxy and bucket."""
    if (binary := REAL_OLLAMA) is None:
        pytest.skip("no real Ollama: set OLLAMA_BIN")
    with breaking.lane(tmp_path_factory.mktemp("faults"), lambda folder, _: real(folder, binary)) as lane:
        yield lane


@pytest.mark.parametrize("cell", cells_of(CELLS, covering()))
def test_the_stand_in_under_faults(standin: breaking.Lane, cell: Cell) -> None:
    """A cell shows nothing that must not be: see `cells.complaints`."""
    found = breaking.run(cell, standin).as_json()
    assert found["complaints"] == [], json.dumps(found, indent=1)


@pytest.mark.parametrize("cell", cells_of(REAL_CELLS))
def test_a_real_ollama_under_faults(ollama: breaking.Lane, cell: Cell) -> None:
    """The same holds for a real server with its runner and model."""
    found = breaking.run(cell, ollama).as_json()
    assert found["complaints"] == [], json.dumps(found, indent=1)


def test_the_covering_part_leaves_nothing_out() -> None:
    """A third of the cells has every fault, every state, and every possible pair of a state and a kind of fault."""
    cells = covering()
    assert {cell.fault for cell in cells} == {*Fault}
    assert not [cell for cell in cells if cell.no_sense]
    for state, kind in product(S, KINDS):
        possible = [Cell(state, fault) for fault in kind if not Cell(state, fault).no_sense]
        assert not possible or {*possible} & {*cells}, (state, kind)
    assert len(cells) == len({*cells}) < len(CELLS) / 3
