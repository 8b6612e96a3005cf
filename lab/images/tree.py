"""An installation of the real Ollama with the image's wrapper, and what the image's build and entrypoint do with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from lab.servers import LOOPBACK, NO_TLS, ServerProcess

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "ollama-image"
NOBODY = 65532
# Two seconds on an idle machine; a hundred times that where all cores compute for others.
BAKE_SECONDS = 240.0
# As the Dockerfile's last stage sets them, for two slots of 2,048 tokens.
FLAGS = {
    "OLLAMA_CONTEXT_LENGTH": "2048",
    "OLLAMA_NUM_PARALLEL": "2",
    "OLLAMA_FLASH_ATTENTION": "1",
    "OLLAMA_KV_CACHE_TYPE": "q8_0",
    "LLAMA_ARG_SWA_FULL": "1",
    "OLLAMA_NOPRUNE": "1",
}


# About 1,000 tokens.
SYSTEM = "You are the clerk of a library. " + " ".join(
    f"Rule {number}: a reader of group {number * 7 % 31} may borrow {number % 9 + 1} books for {number % 5 + 2} weeks."
    for number in range(1, 48)
)
ASKED = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "What may group 7 borrow?"}]


def install(folder: Path, binary: str) -> Path:
    """Put Ollama under `folder` as the image has it, the wrapper in place; returns the binary."""
    found = Path(binary).resolve()
    libraries = found.parents[1] / "lib" / "ollama"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib" / "ollama").mkdir(parents=True)
    for library in libraries.iterdir():
        name = "llama-server-upstream" if library.name == "llama-server" else library.name
        (folder / "lib" / "ollama" / name).symlink_to(library)
    # Copied, not linked: Ollama looks for its libraries beside what a link leads to.
    shutil.copy2(found, folder / "bin" / "ollama")
    shutil.copy2(IMAGE / "llama-server.sh", folder / "lib" / "ollama" / "llama-server")
    return folder / "bin" / "ollama"


def bake(
    out: Path, source: Path, ollama: Path, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the build's step on a file or folder to import."""
    variables = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'probe-agent' / 'src'}:{IMAGE}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MODEL": "served:one",
        "IMPORT_DIR": str(source.parent),
        "SOURCE": source.name,
        "NUM_CTX": "2048",
        "NUM_PARALLEL": "2",
        "OUT": str(out),
        "WORK": str(out.with_name(out.name + "-work")),
        "OLLAMA_BINARY": str(ollama),
        **(environ or {}),
    }
    command = [sys.executable, "-m", "bake"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=variables, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as build:
        try:
            said, complained = build.communicate(timeout=BAKE_SECONDS)
        except BaseException:
            os.killpg(build.pid, signal.SIGKILL)  # with the server that it has started
            raise
    return subprocess.CompletedProcess(command, build.returncode, said, complained)


def assemble(out: Path, models: Path) -> Path:
    """Do what the two COPY instructions do; returns the store, read-only and without times of its own."""
    for part in ("model", "rest"):
        # Writable while the second part comes in: the build made the folders read-only.
        for folder in (models, models / "blobs"):
            if folder.exists():
                folder.chmod(0o755)
        shutil.copytree(out / part / "models", models, dirs_exist_ok=True)
    return models


def tree(folder: Path) -> list[tuple[str, int, int, int, bytes]]:
    """Return all that a layer keeps of a folder: names, modes, owners, times, contents."""
    return [
        (
            str(path.relative_to(folder)),
            path.stat().st_mode,
            path.stat().st_uid,
            path.stat().st_mtime_ns,
            b"" if path.is_dir() else path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
    ]


class Entrypoint(ServerProcess):
    """The container: `entrypoint.sh` over an assembled store, as a user without rights where we may choose one."""

    def __init__(self, home: Path, models: Path, ollama: Path, environ: Mapping[str, str] | None = None) -> None:
        self.runtime = home / "runtime"
        for folder in (home, self.runtime):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o777)
        user = [] if os.geteuid() else ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        variables = {
            **FLAGS,
            "OLLAMA_MODELS": str(models),
            "OLLAMA_BINARY": str(ollama),
            "OLLAMA_KEEP_ALIVE": "-1",
            "PROMPT_CACHE_DIR": str(models / "prompt-cache"),
            "RUNTIME_DIR": str(self.runtime),
            **(environ or {}),
        }
        # Copied, because the checkout may lie where that user may not enter.
        script = shutil.copy(IMAGE / "entrypoint.sh", home)
        super().__init__([*user, "bash", str(script)], home, variables)

    def post(self, path: str, fields: Mapping[str, Any]) -> httpx.Response:
        """Ask Ollama."""
        return httpx.post(f"{self.url}{path}", json=fields, timeout=BAKE_SECONDS, verify=NO_TLS)

    def load(self) -> None:
        """Load the baked model."""
        assert self.post("/api/generate", {"model": "served:one", "keep_alive": -1}).json()["done_reason"] == "load"

    def chat(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """Answer one token to `messages`; returns Ollama's answer."""
        fields = {"model": "served:one", "messages": messages, "stream": False, "options": {"num_predict": 1}}
        answer: dict[str, Any] = self.post("/api/chat", fields).json()
        return answer

    @property
    def runner(self) -> str:
        """Where the loaded model's llama-server listens, from the record that the wrapper left."""
        (record,) = (self.runtime / "runners").glob("[0-9]*")
        return f"http://{LOOPBACK}:{record.name}"
