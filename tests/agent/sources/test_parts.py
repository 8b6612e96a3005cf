"""A file in parts: what was written is remembered over its tries, and hashed in order."""

import fcntl
from pathlib import Path

import pytest

from probe_agent.sources.parts import Part, PartedFile, Taken

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

    with PartedFile(path, 10, 4) as file:
        assert file.missing == (Part(4, 7), Part(8, 9))


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
        assert file.forget() == 4
        assert file.missing == file.parts

    with PartedFile(path, 10, 4) as file:
        assert file.missing == file.parts


def test_parts_are_read_back(tmp_path: Path) -> None:
    """Each part holds what was written, whatever the order."""
    with PartedFile(tmp_path / "f", 10, 4) as file:
        for part in reversed(file.parts):
            file.write(part, part_of(part))
        assert b"".join(map(file.read, file.parts)) == CONTENT


def test_one_process_at_a_time_has_a_file(tmp_path: Path) -> None:
    """Two agents on one volume must not write the same file, nor publish what the other has not finished."""
    path = tmp_path / "f"
    with PartedFile(path, 10, 4) as file:
        file.write(Part(0, 3), part_of(Part(0, 3)))
        with pytest.raises(Taken), PartedFile(path, 10, 4):
            pass
    with PartedFile(path, 10, 4) as file:
        assert file.there_bytes == 4


def test_a_file_published_meanwhile_is_not_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gets the lock of a journal that was removed just then has come too late: the file is there."""
    path = tmp_path / "f"
    lock = fcntl.flock

    def lock_late(number: int, how: int) -> None:
        (tmp_path / "f.parts").unlink()
        lock(number, how)

    monkeypatch.setattr(fcntl, "flock", lock_late)

    with pytest.raises(Taken), PartedFile(path, 10, 4):
        pass
    assert not path.exists()
