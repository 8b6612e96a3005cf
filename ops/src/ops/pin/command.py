"""The command line of `ops pin`."""

from __future__ import annotations

import argparse  # noqa: TC003 — the annotations are read by people and by mypy alike
import sys
from pathlib import Path

import yaml

from ops.pin.edit import PinError, pin, read_image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `ops pin` takes."""
    parser.add_argument("file", type=Path, help="the service's YAML")
    parser.add_argument(
        "--image", action="append", required=True, metavar="CONTAINER=REF@sha256:HEX", help="may be given repeatedly"
    )
    parser.add_argument("--out", type=Path, help="where to write the result (standard output)")


def run(arguments: argparse.Namespace) -> int:
    """Pin the images; 0, or 2 when the file or an image cannot be used, and then nothing is written."""
    try:
        images = dict(read_image(text) for text in arguments.image)
        document = yaml.safe_load(arguments.file.read_text())
        pin(document, images)
        text = yaml.safe_dump(document, sort_keys=False, width=1000)
        if arguments.out:
            arguments.out.write_text(text)
        else:
            sys.stdout.write(text)
    except (OSError, UnicodeError, yaml.YAMLError, PinError) as error:
        sys.stderr.write(f"ops pin {arguments.file}: {error}\n")
        return 2
    return 0
