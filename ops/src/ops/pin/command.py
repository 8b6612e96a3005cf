"""`ops pin`: image digests, put into a service's YAML."""

import sys
from pathlib import Path
from typing import Annotated

from ops import yaml_edit
from ops.cli import option, repeated
from ops.pin.edit import PinError, pinned, read_images, unpinned

DONE, UNPINNED, REFUSED = 0, 1, 2


def run(
    file: Annotated[Path, option("service.yaml; only its images are changed.", metavar="FILE")],
    /,
    *,
    image: Annotated[
        tuple[str, ...], repeated("Image of a container; repeatable.", str, metavar="CONTAINER=REF@sha256:HEX")
    ],
    out: Annotated[Path | None, option("File for the result (default: standard output).", metavar="FILE")] = None,
    allow_unpinned: Annotated[bool, option("Write the result although some images have no digest.")] = False,
) -> int:
    """Put image digests into a service's YAML, so that what was verified is what is deployed.

    Exit status: 0 written, 1 an image would stay without a digest, 2 the file or an image cannot be used. Nothing is
    written with 1 and 2.
    """
    try:
        text = pinned(_read(file), read_images(image))
        left = unpinned(text)
        for name, reference in left:
            sys.stderr.write(
                f"ops pin {file}: {name} stays unpinned: {reference or 'it has no image'} has no digest; "
                f"give --image {name}=REF@sha256:HEX, or --allow-unpinned\n"
            )
        if left and not allow_unpinned:
            return UNPINNED
        _write(text, out)
    except (UnicodeError, yaml_edit.NotYaml, yaml_edit.NotSettable, PinError) as error:
        sys.stderr.write(f"ops pin {file}: {error}\n")
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
