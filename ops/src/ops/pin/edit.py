"""The edit: each named container gets an image by digest, and nothing else of the document changes."""

from __future__ import annotations

from typing import Any

from ops.images import PINNED


class PinError(Exception):
    """The file or an image cannot be pinned; the text says who, what, why, and what to do."""


def read_image(text: str) -> tuple[str, str]:
    """Split CONTAINER=REF@sha256:HEX; PinError when the container or the digest is missing."""
    container, _, reference = text.partition("=")
    if not container or not reference:
        raise PinError(f"--image {text}: not CONTAINER=REF@sha256:HEX; name the container first")
    if not PINNED.fullmatch(reference):
        raise PinError(
            f"--image {text}: {reference} has no digest, so what runs could differ from what was verified; "
            "give REF@sha256: and 64 hexadecimal digits, as the push printed them"
        )
    return container, reference


def pin(document: Any, images: dict[str, str]) -> None:
    """Set the image of each container in `images`, in place; PinError for a container that is not there."""
    try:
        containers = {container["name"]: container for container in document["spec"]["template"]["spec"]["containers"]}
    except (KeyError, TypeError) as error:
        raise PinError(
            f"no service: spec.template.spec.containers with names is missing ({error}); give a service's YAML"
        ) from error
    for name, reference in images.items():
        if name not in containers:
            raise PinError(f"no container is named {name}; there are: {', '.join(containers)}")
        containers[name]["image"] = reference
