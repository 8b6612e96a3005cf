"""The build's prompt cache, put into the runner's slots after a load (R13, R19); never a reason not to start.

The runtime directory is a small volume that both containers share. The image's entrypoint puts the image's
`manifest.json` there, its wrapper a record of each runner under `runners/PORT`.
"""

import json
import logging
import re
from pathlib import Path

import httpx

from probe_agent.errors import ManifestRefused, cause_of
from probe_agent.ollama.names import same_model
from probe_agent.ollama.types import ModelSpec, StoredModel
from probe_agent.prompt_cache.image_manifest import ImageManifest
from probe_agent.prompt_cache.runner_flags import differences, parse_record

log = logging.getLogger(__name__)

PORT = re.compile("[1-9][0-9]{0,4}")
MAX_PORT = 65535
# Restoring copies some megabytes from a file in the image: 3 ms for ten of them (measured); seconds mean a fault.
RESTORE_SECONDS = 10.0


class PromptCache:
    """Restores saved slots of the runner that serves a model. `runtime_dir` None: there is no cache."""

    def __init__(self, runtime_dir: Path | None, slots: int) -> None:
        self._runtime_dir = runtime_dir
        self._slots = slots
        self._manifest: ImageManifest | None = None

    def manifest_of(self, pin: ModelSpec) -> ImageManifest | None:
        """Return what the image says of this model; None where it says nothing of it, or nothing yet."""
        manifest = self._manifest = self._manifest or self._read()
        return manifest if manifest is not None and same_model(manifest.model, pin.name) else None

    def _read(self) -> ImageManifest | None:
        if self._runtime_dir is None:
            return None
        try:
            return ImageManifest.read((self._runtime_dir / "manifest.json").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ManifestRefused) as error:
            log.warning("prompt cache not used: %s", error)
            return None

    async def restore(self, manifest: ImageManifest, stored: StoredModel) -> int:
        """Fill the slots of the model's runner; return how many were filled, 0 with a line that says why not."""
        if not manifest.prompt_cache:
            return 0
        reason = "the model is not the one of the build"
        if stored.digest == manifest.digest:
            reason = "no record of a runner that serves the model"
            for port, lines in self._records(manifest):
                if different := differences(manifest.flags, lines):
                    reason = f"the runner's flags are not the build's: {'; '.join(different)}"
                    continue
                restored, reason = await self._fill(port, manifest)
                if restored:
                    log.info("prompt cache of the build restored into %d of %d slots", restored, self._slots)
                    return restored
        log.warning("prompt cache not used, the warm-up does without: %.400s", " ".join(reason.split()))
        return 0

    def _records(self, manifest: ImageManifest) -> list[tuple[int, list[str]]]:
        """Return the records of runners of this model, the newest first; one of a dead runner stays there."""
        assert self._runtime_dir is not None  # noqa: S101 — its manifest was read
        try:
            files = [path for path in (self._runtime_dir / "runners").iterdir() if _is_port(path.name)]
            files.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
            records = [(int(path.name), path.read_text(encoding="utf-8").splitlines()) for path in files]
        except (OSError, UnicodeDecodeError):
            return []
        return [each for each in records if Path(parse_record(each[1]).get("--model", "")).name in manifest.blobs]

    async def _fill(self, port: int, manifest: ImageManifest) -> tuple[int, str]:
        """Ask the runner itself, on its own loopback port: Ollama has no word for it."""
        saved = manifest.prompt_cache
        url = f"http://127.0.0.1:{port}"
        restored, reason = 0, ""
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=RESTORE_SECONDS) as client:
            for slot in range(self._slots):
                body = json.dumps({"filename": saved[slot % len(saved)].file})
                try:
                    answer = await client.post(f"/slots/{slot}?action=restore", content=body)
                except httpx.HTTPError as error:
                    reason = f"the runner on port {port} does not answer: {cause_of(error)}"
                    break
                if answer.is_error:
                    reason = f"the runner refused with {answer.status_code}: {answer.text[:300]}"
                    break
                restored += 1
        return restored, reason


def _is_port(name: str) -> bool:
    return PORT.fullmatch(name) is not None and int(name) <= MAX_PORT
