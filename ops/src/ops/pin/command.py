"""The command line of `ops pin`."""

from __future__ import annotations

import argparse  # noqa: TC003 — the annotations are read by people and by mypy alike
import sys
from pathlib import Path

from ops import yaml_edit
from ops.pin.edit import PinError, pinned, read_images, unpinned

DONE, UNPINNED, REFUSED = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `ops pin` takes."""
    parser.epilog = (
        "Exit status: 0 written, 1 an image would stay without a digest, 2 the file or an image cannot be used; "
        "with 1 and 2 nothing is written."
    )
    parser.add_argument("file", type=Path, help="the service's YAML; every byte but the images stays")
    parser.add_argument(
        "--image", action="append", required=True, metavar="CONTAINER=REF@sha256:HEX", help="may be given repeatedly"
    )
    parser.add_argument("--out", type=Path, help="where to write the result (standard output)")
    parser.add_argument("--allow-unpinned", action="store_true", help="write it though some images have no digest")


def run(arguments: argparse.Namespace) -> int:
    """Pin the images; 1 when others have no digest, 2 when the file or an image cannot be used: nothing is written."""
    try:
        text = pinned(_read(arguments.file), read_images(arguments.image))
        left = unpinned(text)
        for name, reference in left:
            sys.stderr.write(
                f"ops pin {arguments.file}: {name} stays unpinned: {reference or 'it has no image'} has no digest; "
                f"give --image {name}=REF@sha256:HEX, or --allow-unpinned\n"
            )
        if left and not arguments.allow_unpinned:
            return UNPINNED
        _write(text, arguments.out)
    except (UnicodeError, yaml_edit.NotYaml, yaml_edit.NotSettable, PinError) as error:
        sys.stderr.write(f"ops pin {arguments.file}: {error}\n")
        return REFUSED
    return DONE


def _read(file: Path) -> str:
    """Return the file's text with the line ends that it has."""
    try:
        return file.read_bytes().decode("utf-8")
    except OSError as error:
        raise PinError(f"cannot be read: {error.strerror}; give the service's YAML") from error


def _write(text: str, out: Path | None) -> None:
    try:
        if out:
            out.write_bytes(text.encode("utf-8"))
        else:
            sys.stdout.write(text)
    except OSError as error:
        fix = "choose another --out" if out else "give --out FILE"
        raise PinError(f"{out or 'standard output'}: cannot be written: {error.strerror}; {fix}") from error
