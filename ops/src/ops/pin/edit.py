"""The edit: each named container gets an image by digest, and nothing else of the document changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ops.images import PINNED

if TYPE_CHECKING:
    from collections.abc import Iterable


class PinError(Exception):
    """The file or an image cannot be pinned; the text says who, what, why, and what to do."""


def read_images(texts: Iterable[str]) -> dict[str, str]:
    """Read each CONTAINER=REF@sha256:HEX; PinError also for a container that is named twice."""
    images: dict[str, str] = {}
    for text in texts:
        container, reference = read_image(text)
        if container in images:
            raise PinError(f"--image {text}: {container} has an image already, {images[container]}; give one of them")
        images[container] = reference
    return images


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
    containers = _containers(document)
    for name, reference in images.items():
        if name not in containers:
            raise PinError(f"no container is named {name}; there are: {', '.join(containers)}")
        containers[name]["image"] = reference


def unpinned(document: Any) -> list[tuple[str, str]]:
    """Return each container, with its image, that names no digest; PinError where there are no containers."""
    images = {name: str(container.get("image") or "") for name, container in _containers(document).items()}
    return [(name, reference) for name, reference in images.items() if not PINNED.fullmatch(reference)]


def _containers(document: Any) -> dict[str, Any]:
    try:
        return {str(each["name"]): each for each in document["spec"]["template"]["spec"]["containers"]}
    except (KeyError, TypeError) as error:
        raise PinError(
            f"no service: spec.template.spec.containers with names is missing ({error}); give a service's YAML"
        ) from error
