"""`ops pin`: digests in the YAML, or a refusal that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ops.__main__ import main
from ops.lint.engine import lint
from ops.lint.findings import Options

FILE = Path(__file__).parents[3] / "service.yaml"
PINNED = f"r.example/p/ollama@sha256:{'ab' * 32}"
AGENT = f"r.example/p/probe-agent@sha256:{'cd' * 32}"
BOTH = ("--image", f"ollama={PINNED}", "--image", f"probe-agent={AGENT}")


def pin(*arguments: str) -> int:
    """Run the command as `ops pin` would."""
    return main(["pin", *arguments])


def test_only_the_images_change(tmp_path: Path) -> None:
    """Both containers have their digest; every other line is as it was, comments too."""
    out = tmp_path / "out.yaml"
    assert pin(str(FILE), *BOTH, "--out", str(out)) == 0
    before, after = FILE.read_text().splitlines(), out.read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [f"          image: {PINNED}", f"          image: {AGENT}"]


def test_without_out_the_result_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --out the YAML goes to standard output, and nothing to standard error."""
    assert pin(str(FILE), *BOTH) == 0
    said = capsys.readouterr()
    assert f"image: {PINNED}" in said.out
    assert said.err == ""


def test_image_that_stays_unpinned_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An image without a digest that nobody gives one is named, the status is 1, and nothing is written."""
    out = tmp_path / "out.yaml"
    assert pin(str(FILE), "--image", f"ollama={PINNED}", "--out", str(out)) == 1
    assert capsys.readouterr().err == (
        f"ops pin {FILE}: probe-agent stays unpinned: REGION-docker.pkg.dev/PROJECT_ID/REPOSITORY/probe-agent:latest "
        "has no digest; give --image probe-agent=REF@sha256:HEX, or --allow-unpinned\n"
    )
    assert not out.exists()


def test_one_image_may_be_pinned_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --allow-unpinned the others are told and the result is written; what is pinned already needs no --image."""
    out = tmp_path / "out.yaml"
    assert pin(str(FILE), "--image", f"ollama={PINNED}", "--out", str(out), "--allow-unpinned") == 0
    assert "probe-agent stays unpinned" in capsys.readouterr().err
    assert pin(str(out), "--image", f"probe-agent={AGENT}", "--out", str(out)) == 0
    images = [each["image"] for each in yaml.safe_load(out.read_text())["spec"]["template"]["spec"]["containers"]]
    assert images == [PINNED, AGENT]
    assert capsys.readouterr().err == ""


def test_result_passes_the_lint_of_a_deployment(tmp_path: Path) -> None:
    """What the build's pin step writes has no finding with --deploy."""
    out = tmp_path / "out.yaml"
    assert pin(str(FILE), *BOTH, "--out", str(out)) == 0
    assert lint(out.read_text(), "out.yaml", Options(deploy=True)) == []


def test_two_images_of_one_container_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Which of two images is meant is not guessed."""
    assert pin(str(FILE), *BOTH, "--image", f"ollama={AGENT}") == 2
    assert f"ollama has an image already, {PINNED}; give one of them" in capsys.readouterr().err


def test_file_that_cannot_be_read_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service that cannot be read ends with 2, its name and what to give."""
    none = tmp_path / "none" / "service.yaml"
    assert pin(str(none), *BOTH) == 2
    said = f"ops pin {none}: cannot be read: No such file or directory; give the service's YAML\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("out", "why"),
    [(".", "Is a directory"), ("none/x.yaml", "No such file or directory"), ("file/x", "Not a directory")],
)
def test_place_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], out: str, why: str
) -> None:
    """A result that cannot be written ends with 2 and the advice to choose another place, not another service."""
    (tmp_path / "file").touch()
    place = tmp_path / out
    assert pin(str(FILE), *BOTH, "--out", str(place)) == 2
    said = f"ops pin {FILE}: {place}: cannot be written: {why}; choose another --out\n"
    assert capsys.readouterr().err == said


FOREIGN = """\ufeff# A header before the document.
%YAML 1.1
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: x,   labels: {on: True, n: +5}}
spec:
    template:
        spec:
            containers:
            # below its key
            - name: ollama
              image: "host/ollama:1" # the model is inside
              args:
              - |
                key:
                - x
            - image: host/agent:1
              name: probe-agent
            - {name: third, image: 'host/third'} \x20
# The end, without a line end"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_nothing_but_the_images_changes(tmp_path: Path, end: str) -> None:
    """A file of another style, with directives, odd indents and Windows' line ends, keeps every other byte."""
    file, out = tmp_path / "in.yaml", tmp_path / "out.yaml"
    file.write_bytes(FOREIGN.replace("\n", end).encode())
    third = f"host/third@sha256:{'c' * 64}"
    assert pin(str(file), *BOTH, "--image", f"third={third}", "--out", str(out)) == 0
    wanted = FOREIGN.replace("host/ollama:1", PINNED).replace("host/agent:1", AGENT).replace("host/third", third)
    assert out.read_bytes().decode() == wanted.replace("\n", end)


def test_container_without_an_image_line_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no image to pin, and where a name stands twice, the line says so and nothing is written."""
    service = "spec: {template: {spec: {containers: [{name: ollama}, {name: ollama}]}}}"
    file = tmp_path / "bad.yaml"
    file.write_text(service)
    assert pin(str(file), "--image", f"ollama={PINNED}") == 2
    assert capsys.readouterr().err == f"ops pin {file}: two containers have one name; give each its own\n"
    file.write_text(service.replace(", {name: ollama}", ""))
    assert pin(str(file), "--image", f"ollama={PINNED}") == 2
    said = capsys.readouterr()
    where = "spec.template.spec.containers.0.image"
    assert said.err == f"ops pin {file}: {where}: no single value is written there; write one, whatever it is\n"
    assert said.out == ""


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


@pytest.mark.parametrize("text", ["", "a: [", "a: 1\na: 2", "a: 1\n---\nb: 1", "spec: {}", "- 1"])
def test_what_is_no_service_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """A file that is no service's YAML ends with 2 and one line."""
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    assert pin(str(file), "--image", f"ollama={PINNED}") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ops pin {file}: ")
    assert said.count("\n") == 1
