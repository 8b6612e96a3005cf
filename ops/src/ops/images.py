"""References of container images, as files and registries write them: pure."""

from __future__ import annotations

import re

PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
"""An image reference with the digest of what was verified."""


def base_name(image: str) -> str:
    """Return the image's last path segment without tag and digest.

    >>> base_name("us-docker.pkg.dev/project/repository/probe-agent:1.2@sha256:abc")
    'probe-agent'
    """
    return image.rsplit("/", 1)[-1].split("@", 1)[0].split(":", 1)[0]
