"""The build's inputs: build arguments, which the Dockerfile puts into the environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bake.errors import BakeError
from probe_agent.errors import ManifestRefused
from probe_agent.ollama.prompts import GREETING, ChatPrompt, read_prompts
from probe_agent.ollama.store import manifest_path

KV_CACHE_TYPES = ("f16", "q8_0", "q4_0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Contexts are tokens per slot. `source` None: `model` is pulled from the registry."""

    model: str
    source: Path | None
    quantize: str
    allow_wider: bool
    num_ctx: int
    num_parallel: int
    kv_cache_type: str
    flash_attention: bool
    swa_full: bool
    prompt_cache: bool
    prompts_text: str
    out: Path
    work: Path
    ollama: str

    @property
    def prompts(self) -> tuple[ChatPrompt, ...]:
        """The warm-up prompts; without a file of them, a greeting."""
        return read_prompts(self.prompts_text) if self.prompts_text else (GREETING,)

    @property
    def runtime_flags(self) -> dict[str, str]:
        """The variables that reach the runner; the Dockerfile's last stage sets the same ones."""
        return {
            "OLLAMA_CONTEXT_LENGTH": str(self.num_ctx),
            "OLLAMA_NUM_PARALLEL": str(self.num_parallel),
            "OLLAMA_FLASH_ATTENTION": str(int(self.flash_attention)),
            "OLLAMA_KV_CACHE_TYPE": self.kv_cache_type,
            "LLAMA_ARG_SWA_FULL": str(int(self.swa_full)),
        }


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the build arguments; raises `BakeError` for the first bad one."""
    model = environ.get("MODEL", "gemma3:4b-it-qat")
    try:
        manifest_path(model)
    except ManifestRefused as error:
        raise _bad("MODEL", model, error) from error
    kv_cache_type = environ.get("KV_CACHE_TYPE", "q8_0")
    if kv_cache_type not in KV_CACHE_TYPES:
        raise _bad("KV_CACHE_TYPE", kv_cache_type, f"expected one of {', '.join(KV_CACHE_TYPES)}")
    flash_attention = _flag(environ, "FLASH_ATTENTION", default=True)
    if not flash_attention and kv_cache_type != "f16":
        raise _bad("KV_CACHE_TYPE", kv_cache_type, "a quantized cache needs FLASH_ATTENTION=1")
    source, quantize = _source(environ), environ.get("QUANTIZE", "")
    if quantize and source is None:
        raise _bad("QUANTIZE", quantize, "only an import is quantized, and SOURCE is empty")
    prompt_cache = _flag(environ, "PROMPT_CACHE", default=True)
    return Settings(
        model=model,
        source=source,
        quantize=quantize,
        allow_wider=_flag(environ, "ALLOW_WIDER", default=False),
        num_ctx=_count(environ, "NUM_CTX", 8192),
        num_parallel=_count(environ, "NUM_PARALLEL", 4),
        kv_cache_type=kv_cache_type,
        flash_attention=flash_attention,
        swa_full=_flag(environ, "SWA_FULL", default=prompt_cache),
        prompt_cache=prompt_cache,
        prompts_text=_prompts_text(environ.get("WARMUP", "")),
        out=Path(environ.get("OUT", "/out")),
        work=Path(environ.get("WORK", "/build")),
        ollama=environ.get("OLLAMA_BINARY", "/usr/bin/ollama"),
    )


def _source(environ: Mapping[str, str]) -> Path | None:
    name = environ.get("SOURCE", "")
    if not name:
        return None
    folder = Path(environ.get("IMPORT_DIR", "/import")).resolve()
    path = (folder / name).resolve()
    if not path.is_relative_to(folder):
        raise _bad("SOURCE", name, f"it leads out of {folder}")
    if not path.exists():
        raise _bad("SOURCE", name, f"no such file or folder in {folder} (in the build: ollama-image/import/)")
    return path


def _prompts_text(name: str) -> str:
    """Return the file's text, once it has been seen to hold prompts."""
    if not name:
        return ""
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
        read_prompts(text)
    except (OSError, ValueError) as error:
        raise _bad("WARMUP", name, error) from error
    return text


def _flag(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = environ.get(name) or str(int(default))
    if value not in ("0", "1"):
        raise _bad(name, value, "expected 0 or 1")
    return value == "1"


def _count(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name) or str(default)
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise _bad(name, value, "expected a whole number from 1")
    return int(value)


def _bad(name: str, value: str, why: object) -> BakeError:
    return BakeError("settings", f"{name}={value}", why, f"correct the build argument {name}")
