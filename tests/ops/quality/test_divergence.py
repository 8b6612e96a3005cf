"""`ops quality`: how far two answers agree."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ops.__main__ import main
from ops.quality import divergence, show
from ops.quality.ask import Answers
from ops.quality.progress import Display
from ops.quality.questions import QUESTIONS

answers = st.lists(st.sampled_from("abc"), max_size=8)


@pytest.mark.parametrize(
    ("reference", "answer", "expected"),
    [
        ("abcd", "abcd", (True, None, 1.0)),
        ("abcd", "abxd", (False, 2, 0.5)),
        ("abcd", "ab", (False, 2, 0.5)),
        ("", "", (True, None, 1.0)),
        ("", "a", (False, 0, 0.0)),
    ],
)
def test_answers_agree_up_to_their_first_difference(
    reference: str, answer: str, expected: tuple[bool, int | None, float]
) -> None:
    """Word for word, or so many tokens and the share that these are; an answer that ends early differs there."""
    found = divergence.agreement(list(reference), list(answer))
    assert (found.exact, found.first_difference, found.same_share) == expected


@given(answers, answers)
def test_agreement_has_no_side(ours: list[str], theirs: list[str]) -> None:
    """Which of the two is the reference does not matter, and an answer agrees with itself."""
    assert divergence.agreement(ours, theirs) == divergence.agreement(theirs, ours)
    assert divergence.agreement(ours, ours).exact


def test_summaries_are_against_the_reference() -> None:
    """Each type but the reference has a line; the median is of the answers that differ."""
    given_ = {
        "f16": Answers([("a", "b"), ("c", "d"), ("e", "f")], 2_000_000),
        "f16 again": Answers([("a", "b"), ("c", "d"), ("e", "f")], 2_000_000),
        "q4_0": Answers([("a", "b"), ("c", "x"), ("x", "f")], 1_000_000),
    }
    found = show.summaries(given_, "f16")
    assert list(found) == ["f16 again", "q4_0"]
    assert (found["q4_0"].exact, found["q4_0"].median_difference) == (1, 0.5)
    assert found["q4_0"].same_share == pytest.approx(0.5)
    assert "the cache's doing" in show.lines(found)[-1]
    shown = Console(width=120, file=io.StringIO(), record=True)
    shown.print(show.table(found, given_), *show.lines(found))
    text = shown.export_text()
    assert "by Ollama's own figure" in text
    assert "leaves out part of a cache with a sliding window: docs/capacity.md" in text


def test_a_part_is_compared_as_far_as_it_goes() -> None:
    """Types that have answered fewer questions are held against as many; one that has answered none has no line."""
    given_ = {"f16": Answers([("a",), ("b",), ("c",)]), "f16 again": Answers([("a",), ("x",)]), "q4_0": Answers()}
    found = show.summaries(given_, "f16")
    shown = Console(width=120, file=io.StringIO(), record=True)
    shown.print(show.table(found, given_, partial=True))
    text = shown.export_text()
    assert [(name, each.questions, each.exact) for name, each in found.items()] == [("f16 again", 2, 1)]
    assert "partial: not every question was asked" in text
    assert "1 of 2" in text
    assert show.summaries({"f16": Answers(), "f16 again": Answers()}, "f16") == {}


def test_each_type_has_its_bar() -> None:
    """On a terminal the one that is asked shows how far it is, and how many seconds it has taken."""
    console = Console(width=80, file=io.StringIO(), record=True)
    display = Display(console, ("f16", "q4_0"), 20)
    with display:
        display.starts("f16")
        display.answered(20)
        display.ends()
        display.starts("q4_0")
        display.answered(7)
        console.print(display)
    lines = console.export_text().splitlines()
    assert any(line.startswith("f16 ") and "20 of 20 answered in 0 s" in line for line in lines)
    assert any(line.startswith("q4_0 ") and "7 of 20 answered, 0 s" in line for line in lines)


def test_the_questions_differ() -> None:
    """Twenty, each asked once."""
    assert len(set(QUESTIONS)) == len(QUESTIONS) == 20


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
        (["--types", "f16;x"], "--types: expected types from f16,q8_0,q4_0,f32"),
        (["--types", "f16,q3_1"], "found 'q3_1'"),
        (["--tokens", "0"], "--tokens: expected a whole number from 1"),
        (["--questions", "/nowhere.txt"], "cannot be read"),
    ],
)
def test_bad_input_is_one_line(words: list[str], complaint: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 before anything starts."""
    assert main(["quality", *words]) == 2
    error = capfd.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
