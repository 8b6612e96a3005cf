"""`ops lint` as a command: its output, its exit statuses, and the files that it does not lint."""

import json
from pathlib import Path

import pytest

from ops.__main__ import main

ROOT = Path(__file__).parents[3]
SERVICE = (ROOT / "service.yaml").read_text(encoding="utf-8")
# A warning, because nothing refuses it.
WARNED = SERVICE.replace("gemma3:4b-it-qat@8192", "gemma3@8192")


def write(folder: Path, text: str, name: str = "service.yaml") -> str:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_findings_are_blocks_with_a_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding has its place, its reason and its fix; the last line counts."""
    bad = write(tmp_path, SERVICE.replace("kind: Service", "kind: Servise"))
    assert main(["lint", bad]) == 2  # not a service at all
    bad = write(tmp_path, SERVICE.replace("name: http1", "name: http2"))
    assert main(["lint", bad]) == 1
    said = capsys.readouterr().out
    assert f"{bad}:" in said
    assert all(word in said for word in ("error [ingress]", "  at   spec.template", "  why  ", "  fix  "))
    assert said.endswith("1 error, 0 warnings in 1 file\n")


def test_json_is_a_list_of_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: one object per finding."""
    bad = write(tmp_path, SERVICE.replace("name: http1", "name: http2"))
    assert main(["lint", "--format", "json", bad]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found.keys() >= {"rule", "severity", "file", "line", "path", "reason", "fix"}
    assert (found["rule"], found["severity"]) == ("ingress", "error")


def test_warnings_fail_only_with_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A warning should be looked at; it stops nothing unless that is asked for."""
    warned = write(tmp_path, WARNED)
    assert main(["lint", warned]) == 0
    assert "0 errors, 1 warning in 1 file" in capsys.readouterr().out
    assert main(["lint", "--strict", warned]) == 1


def test_several_files_are_linted_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be linted does not hide the findings of another."""
    good, bad = (
        write(tmp_path, SERVICE, "a.yaml"),
        write(tmp_path, SERVICE.replace("name: http1", "name: http2"), "b.yaml"),
    )
    absent = str(tmp_path / "absent.yaml")
    assert main(["lint", good, bad, absent]) == 2
    said = capsys.readouterr()
    assert "1 error, 0 warnings in 2 files" in said.out
    assert "absent.yaml" in said.err
    assert "cannot be read" in said.err


@pytest.mark.parametrize("file", ["compose.yaml", "docs/openapi.yaml"])
def test_what_is_no_service_is_said(capsys: pytest.CaptureFixture[str], file: str) -> None:
    """Another kind of YAML gets one line and status 2, no findings."""
    assert main(["lint", str(ROOT / file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1


def test_a_bad_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line names the option and what it takes."""
    assert main(["lint", "--gpu-quota", "many"]) == 2
    assert "--gpu-quota: expected a whole number" in capsys.readouterr().err
