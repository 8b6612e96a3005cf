"""Comment-keeping edits of YAML: our own files come out as they went in."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.yaml_edit import NotYaml, dump, load

ROOT = Path(__file__).parents[2]
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
    ("text", "said"),
    [
        ("a: [", "line 1: "),
        ("a: 1\na: 2\n", "line 2: found duplicate key"),
        ("a: *none\n", "line 1: found undefined alias"),
        ("a: \x00", "special characters are not allowed"),
        ("[" * 5000, "nested too deep"),
        ("a: 1\n---\nb: 1\n", "line 2: but found another document"),
    ],
)
def test_what_is_no_yaml_is_said_on_one_line(text: str, said: str) -> None:
    """A text that cannot be read raises one error, of one line, with the place where there is one."""
    with pytest.raises(NotYaml, match=said) as error:
        load(text)
    assert "\n" not in str(error.value)
