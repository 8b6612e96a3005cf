"""`ops pin`: digests in the YAML, or a refusal that says what to do."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from ops.pin import command

FILE = Path(__file__).parents[2] / "service.yaml"
PINNED = f"r.example/p/ollama@sha256:{'a' * 64}"


def pin(*arguments: str) -> int:
    """Run the command as `ops pin` would."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_only_the_image_changes(tmp_path: Path) -> None:
    """The named container has the digest; every other value and the order of names are as they were."""
    out = tmp_path / "out.yaml"
    assert pin(str(FILE), "--image", f"ollama={PINNED}", "--out", str(out)) == 0
    before, after = yaml.safe_load(FILE.read_text()), yaml.safe_load(out.read_text())
    assert after["spec"]["template"]["spec"]["containers"][0]["image"] == PINNED
    before["spec"]["template"]["spec"]["containers"][0]["image"] = PINNED
    assert yaml.safe_dump(after, sort_keys=False) == yaml.safe_dump(before, sort_keys=False)


def test_without_out_the_result_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --out the YAML goes to standard output."""
    assert pin(str(FILE), "--image", f"ollama={PINNED}") == 0
    assert PINNED in capsys.readouterr().out


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (f"olama={PINNED}", "no container is named olama; there are: ollama, probe-agent"),
        ("ollama=r.example/p/ollama:latest", "has no digest"),
        ("ollama=r.example/p/ollama@sha256:abc", "has no digest"),
        ("ollama", "name the container first"),
    ],
)
def test_bad_image_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], image: str, said: str) -> None:
    """An unknown container or an image without digest ends with 2 and the reason, and nothing is written."""
    out = tmp_path / "out.yaml"
    assert pin(str(FILE), "--image", image, "--out", str(out)) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("text", ["", "a: [", "spec: {}", "- 1"])
def test_what_is_no_service_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A file that is no service's YAML ends with 2."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert pin(str(file), "--image", f"ollama={PINNED}") == 2
    assert str(file) in capsys.readouterr().err
