"""The edit: each named container gets an image by digest, and nothing else of the text changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ops import yaml_edit
from ops.images import PINNED

CONTAINERS = ("spec", "template", "spec", "containers")


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


def pinned(text: str, images: dict[str, str]) -> str:
    """Return the text with the image of each container in `images`; every other byte stays.

    Raises PinError for a container that is not there; `yaml_edit.NotYaml` and `yaml_edit.NotSettable`.
    """
    names = list(_containers(yaml_edit.load(text)))
    for name in images:
        if name not in names:
            raise PinError(f"no container is named {name}; there are: {', '.join(names)}")
    places: dict[yaml_edit.Place, str] = {
        (*CONTAINERS, names.index(name), "image"): reference for name, reference in images.items()
    }
    return yaml_edit.with_scalars(text, places)


def unpinned(text: str) -> list[tuple[str, str]]:
    """Return each container, with its image, that names no digest; PinError where there are no containers."""
    containers = _containers(yaml_edit.load(text))
    images = {name: str(container.get("image") or "") for name, container in containers.items()}
    return [(name, reference) for name, reference in images.items() if not PINNED.fullmatch(reference)]


def _containers(document: Any) -> dict[str, Any]:
    """Return the containers by name, in their order."""
    try:
        holder = document
        for step in CONTAINERS:
            holder = holder[step]
        containers = {str(each["name"]): each for each in holder}
    except (KeyError, TypeError) as error:
        raise PinError(
            f"no service: spec.template.spec.containers with names is missing ({error}); give a service's YAML"
        ) from error
    if len(containers) < len(holder):
        raise PinError("two containers have one name; give each its own")
    return containers
