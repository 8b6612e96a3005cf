"""Comment-keeping edits of YAML: our own files come out as they went in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.yaml_edit import NotSettable, NotYaml, Place, Scalar, dump, load, with_scalars

# Beyond Python's stack; more of them only take the parser longer, up to eight seconds.
NESTED = 1_000
ROOT = Path(__file__).parents[3]
OURS = [ROOT / "service.yaml", *sorted((ROOT / "deploy").glob("*.yaml"))]


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_what_is_not_changed_is_byte_for_byte_the_same(file: Path) -> None:
    """A file that is read and written without an edit is the same file."""
    text = file.read_text(encoding="utf-8")
    assert dump(load(text)) == text


def test_an_edit_changes_its_own_line_alone() -> None:
    """Where one value is set, one line differs, and comments beside and above it stay."""
    text = OURS[0].read_text(encoding="utf-8")
    document = load(text)
    document["spec"]["template"]["spec"]["containerConcurrency"] = 16
    before, after = text.splitlines(), dump(document).splitlines()
    changed = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [("      containerConcurrency: 8", "      containerConcurrency: 16")]


@pytest.mark.parametrize(
    "text",
    [
        "a:\n- b: 1 # one\n  c:\n  - 2\n- 3\n",
        "---\na:\n  # first\n  - 'b'\n  - \"c\"\n",
        "a: # list\n- &x {b: [1, 2]}\n- *x\n",
        "a: >-\n  folded\n  twice\nb: |\n  kept\n\nc: 0x10\n",
        f"a: {'word ' * 400}end\n",
    ],
)
def test_another_style_stays_as_it_is(text: str) -> None:
    """Lists right below their key, a first ---, quotes, anchors, blocks and long lines come out as they were."""
    assert dump(load(text), like=text) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1: "),
        ("a: 1\na: 2\n", "line 2: found duplicate key"),
        ("a: !!bool maybe\n", "fit the tag"),
        ("a:\n  # b\n  > # c\n    # d\n    e: 1\n", "fit the tag"),
        ("a: !!omap x\n", "fit the tag"),
        ("a: *none\n", "line 1: found undefined alias"),
        ("a: \x00", "special characters are not allowed"),
        ("[" * NESTED, "nested too deep"),
        ("a: 1\n---\nb: 1\n", "line 2: but found another document"),
    ],
)
def test_what_is_no_yaml_is_said_on_one_line(text: str, said: str) -> None:
    """A text that cannot be read raises one error, of one line, with the place where there is one."""
    with pytest.raises(NotYaml, match=said) as error:
        load(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "place", "value", "wanted"),
    [
        ("a: 1 # one\nb: +5\n", ("a",), 2, "a: 2 # one\nb: +5\n"),
        ("a:\n- b: 'x'\n", ("a", 0, "b"), "it's", "a:\n- b: 'it''s'\n"),
        ('a: "x"', ("a",), 'a "b"', 'a: "a \\"b\\""'),
        ("a: x", ("a",), "y:1/z@w", "a: y:1/z@w"),
        ("a: 8", ("a",), "16", "a: '16'"),
        ("a: x", ("a",), "off", "a: 'off'"),
        ("a: x", ("a",), "two\nlines", 'a: "two\\nlines"'),
        ("a: two\n  lines # c\n", ("a",), True, "a: true # c\n"),
        ("a: &x b # c\n", ("a",), "d", "a: &x d # c\n"),
        ("a: &x {b: c}\nd: *x\n", ("a", "b"), "e", "a: &x {b: e}\nd: *x\n"),
    ],
)
def test_a_value_is_set_in_the_text(text: str, place: Place, value: Scalar, wanted: str) -> None:
    """A value that is there is set in its own quotes, others where the text needs them, and all around it stays."""
    assert with_scalars(text, {place: value}) == wanted


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a: {b: 1}", ("a",), "a: no single value"),
        ("a: {b: 1}", ("a", "c"), "a.c: no single value"),
        ("a: # later", ("a",), "a: no single value"),
        ("a: [1]", ("a", 1), "a.1: no single value"),
        ("a: |\n  x\n", ("a",), "a: is a text of several lines"),
        ("a: &x b\nc: *x\n", ("a",), "a: an anchor or a tag"),
        ("a: &x b\nc: *x\n", ("c",), "c: an anchor or a tag"),
        ("!!str a: {b: c}", ("a", "b"), "a.b: an anchor or a tag"),
        ("a: !!int 1", ("a",), "a: an anchor or a tag"),
    ],
)
def test_what_cannot_be_set_by_itself_is_refused(text: str, place: Place, said: str) -> None:
    """A place without a value of one line, and a value that others repeat, is named, and nothing is guessed."""
    with pytest.raises(NotSettable, match=said):
        with_scalars(text, {place: "new"})
