"""Imports that run out of file descriptors in the middle, in a process of their own: some of them could end it."""

import subprocess
import sys

import pytest

LIMITED = """
import resource, sys
from pathlib import Path

from probe_agent.errors import SourceError
from probe_agent.sources.gcs_errors import translated

limits = resource.getrlimit(resource.RLIMIT_NOFILE)


def no_more_files(event, names):
    if event == "import" and names[0] == sys.argv[1] and resource.getrlimit(resource.RLIMIT_NOFILE) == limits:
        print("reached", names[0])
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))


def load():
    try:
        with translated("gs://b", Path("/")):
            print("loaded")
    except SourceError as error:
        print(error)


sys.addaudithook(no_more_files)
load()
sys.argv[1] = "none any more"
resource.setrlimit(resource.RLIMIT_NOFILE, limits)
load()
"""


@pytest.mark.parametrize(
    "name",
    [
        "grpc._observability",  # imported by the compiled part of grpc, as it begins
        "grpc._typing",
        "grpc.aio",
        "google._upb._message",
        "google.api_core.retry",
        "cryptography.hazmat.bindings._rust",
        "requests.adapters",
        "google.cloud.storage.client",
    ],
)
def test_an_import_without_files_is_made_good(name: str) -> None:
    """Regression: the next try ended the process, in a part of grpc that was begun twice; now it loads the library."""
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, name], capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == 0, ended.stderr
    reached, failed, loaded = ended.stdout.splitlines()
    assert reached == f"reached {name}"
    assert failed.startswith("the library that downloads does not load: ")
    assert loaded == "loaded"
