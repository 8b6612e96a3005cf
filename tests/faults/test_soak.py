"""The soak, for a moment."""

from __future__ import annotations

import pytest

from lab.faults import soak


@pytest.mark.timeout(150)
def test_a_short_soak_tells_its_seed_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """One fault comes and goes, both clients are counted, and no figures of a try are kept."""
    assert soak.main(["--seconds", "1", "--seed", "7"]) == 0
    out = capsys.readouterr().out
    assert "seed 7" in out
    assert "obeys readiness" in out
    assert "faults_judged: 1" in out
    assert "written" not in out


@pytest.mark.parametrize("seconds", ["0", "-1", "1e9"])
def test_a_soak_is_bounded(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A length that is none, or longer than a day, is refused with the bounds."""
    with pytest.raises(SystemExit) as refused:
        soak.main(["--seconds", seconds])
    assert refused.value.code == 2
    assert "is not between 1 and 86400" in capsys.readouterr().err
