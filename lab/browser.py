"""A real browser without a screen: Debian's chromium, or Google's Chrome where that is there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# The browser's path, None where there is none.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# For one page: the first start of a browser on a busy machine takes several.
SECONDS = 50.0
# No screen, no root's sandbox, and nothing asked of the network.
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def dumped(page: Path, profile: Path, *more: str) -> str:
    """Return the page's document after its scripts have run."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *QUIET, f"--user-data-dir={profile}", *more, "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run(
        [*command, page.as_uri()], capture_output=True, text=True, timeout=SECONDS, check=True, errors="replace"
    )
    return done.stdout
