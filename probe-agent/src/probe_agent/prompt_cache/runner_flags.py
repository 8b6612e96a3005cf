"""What a runner (llama-server) was started with, and whether a saved prompt cache fits it. Pure.

The image's wrapper writes a *record* of each runner: the `LLAMA_ARG_…` variables as NAME=VALUE lines, then the
arguments, one a line. The build keeps the same lines with the prompt cache; at run time the two are compared.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

# Options that say where and how the runner works, not what its cached state looks like: build and run may differ.
#
# -b and -ub are among them: Ollama chooses them by the memory that is free, the builder's or the GPU's. The state holds
# no batch. Only a sliding window's cache without SWA_FULL is as large as -ub says, and there a restored state serves no
# prompt anyway; what does not fit into it the runner itself refuses.
PLACEMENT = frozenset(
    {
        "--host",
        "--port",
        "--model",  # held against its blob by the digest
        "--slot-save-path",
        "--log-verbosity",
        "--no-log-prefix",
        "--no-log-timestamps",
        "--no-webui",
        "--offline",
        "--load-mode",
        "--main-gpu",
        "--no-mmproj-offload",
        "--split-mode",
        "-b",
        "-ngl",
        "-t",
        "-ub",
        "LLAMA_ARG_CACHE_RAM",
        "LLAMA_ARG_FIT_TARGET",
        "LLAMA_ARG_THREADS",
        "LLAMA_ARG_THREADS_HTTP",
    }
)
VARIABLE = re.compile(r"(LLAMA_ARG_[A-Z0-9_]+)=(.*)")
OPTION = re.compile(r"--?[A-Za-z].*")
# Projectors and adapters are blobs: a name tells the content, and the folder is another one at build.
BLOB_FOLDER = re.compile(r"\S*/blobs/(?=sha256-)")


def parse_record(lines: Iterable[str]) -> Mapping[str, str]:
    """Return options and variables with their values: "" for an option without one, of a blob's path the name."""
    return dict(_pairs(lines))


def _pairs(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    option, values = "", list[str]()
    for line in lines:
        if not option and (variable := VARIABLE.fullmatch(line)):
            yield variable[1], variable[2]
        elif OPTION.fullmatch(line):
            if option:
                yield option, " ".join(values)
            option, values = line, []
        else:
            values.append(BLOB_FOLDER.sub("", line))
    if option:
        yield option, " ".join(values)


def differences(built: Iterable[str], running: Iterable[str]) -> tuple[str, ...]:
    """Say in what a runner differs from the build's, as far as a saved state depends on it; empty: it fits."""
    then, now = parse_record(built), parse_record(running)
    return tuple(
        f"{name} {then.get(name, 'unset')!s} at build, {now.get(name, 'unset')!s} now"
        for name in sorted((then.keys() | now.keys()) - PLACEMENT)
        if then.get(name) != now.get(name)
    )
