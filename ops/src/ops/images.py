"""References of container images, as files and registries write them."""

import re

# An image reference with a digest.
PINNED = re.compile(r"[^\s@]+@sha256:([0-9a-f]{64})")


def is_pinned(image: str) -> bool:
    """Whether an image is named by the digest of what was verified; one digit 64 times is a placeholder."""
    match = PINNED.fullmatch(image)
    return match is not None and len(set(match[1])) > 1


def base_name(image: str) -> str:
    """Return the image's last path segment without tag and digest.

    >>> base_name("us-docker.pkg.dev/project/repository/probe-agent:1.2@sha256:abc")
    'probe-agent'
    """
    return image.rsplit("/", 1)[-1].split("@", 1)[0].split(":", 1)[0]
