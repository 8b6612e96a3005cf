"""A file in parts: what was written is remembered over its tries, and hashed in order."""

import hashlib
from pathlib import Path

import pytest

from probe_agent.models.blobs import PIECE_BYTES
from probe_agent.models.parts import Part, PartedFile

CONTENT = b"0123456789"


def part_of(part: Part) -> bytes:
    """Return what belongs into a part."""
    return CONTENT[part.start : part.end + 1]


def test_parts_cover_the_file() -> None:
    """All parts but the last have the size that was asked for, and none overlaps."""
    assert PartedFile(Path("f"), 10, 4).parts == (Part(0, 3), Part(4, 7), Part(8, 9))
    assert PartedFile(Path("f"), 8, 4).parts == (Part(0, 3), Part(4, 7))
    assert PartedFile(Path("f"), 0, 4).parts == ()


def test_another_try_goes_on(tmp_path: Path) -> None:
    """Parts of an earlier try are there; the file is whole when the missing ones have come, in any order."""
    path = tmp_path / "f"
    with PartedFile(path, 10, 4) as file:
        file.write(Part(4, 7), part_of(Part(4, 7)))
        assert file.there_bytes == 4
    with PartedFile(path, 10, 4) as file:
        assert file.missing == (Part(0, 3), Part(8, 9))
        assert file.there_bytes == 4
        for part in reversed(file.missing):
            file.write(part, part_of(part))
        assert not file.missing
        file.publish(tmp_path / "folder" / "named")
    assert (tmp_path / "folder" / "named").read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


@pytest.mark.parametrize("line", ["4-", "4-5", "4-70", "\x00", ""])
def test_a_journal_cut_short_remembers_less(tmp_path: Path, line: str) -> None:
    """A process that died while it wrote a line loses that part, and no other."""
    path = tmp_path / "f"
    with PartedFile(path, 10, 4) as file:
        file.write(Part(0, 3), part_of(Part(0, 3)))
    (tmp_path / "f.parts").write_text(f"0-3\n{line}", encoding="ascii")

    assert PartedFile(path, 10, 4).missing == (Part(4, 7), Part(8, 9))


def test_a_journal_without_its_file_is_worth_nothing(tmp_path: Path) -> None:
    """What the journal says is believed only beside the file."""
    path = tmp_path / "f"
    with PartedFile(path, 10, 4) as file:
        file.write(Part(0, 3), part_of(Part(0, 3)))
    path.unlink()

    with PartedFile(path, 10, 4) as file:
        assert file.missing == file.parts
    assert (tmp_path / "f.parts").read_bytes() == b""


def test_what_is_forgotten_is_missing_again(tmp_path: Path) -> None:
    """After a wrong hash the next try begins anew."""
    path = tmp_path / "f"
    with PartedFile(path, 10, 4) as file:
        file.write(Part(0, 3), b"oops")
        file.forget()
        assert file.missing == file.parts

    assert PartedFile(path, 10, 4).missing == file.parts


def test_parts_are_hashed_in_order(tmp_path: Path) -> None:
    """The hash over all parts is that of the file, in pieces where a part is larger than one."""
    content = bytes(range(256)) * (3 * PIECE_BYTES // 512)
    found = hashlib.sha256()
    with PartedFile(tmp_path / "f", len(content), len(content) - 7) as file:
        for part in file.parts:
            file.write(part, content[part.start : part.end + 1])
        for part in file.parts:
            file.hash_into(found, part)

    assert found.digest() == hashlib.sha256(content).digest()
