"""What may be imported, told from names and first bytes: pure but for reading those."""

import re
from pathlib import Path

from bake.errors import BakeError

# Loading one of these runs whatever code its author put in.
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
BESIDE_SAFETENSORS = frozenset({".json", ".model", ".jinja"})
FOUR_BITS_OR_LESS = re.compile(r"(I?Q[1-4](_|$)|TQ[12]_|MXFP4|NVFP4)", re.IGNORECASE)
GGUF_MAGIC = b"GGUF"


def files_of(source: Path) -> tuple[Path, ...]:
    """Return the files to import; raises `BakeError` for a format that is refused or unknown."""
    files = sorted(path for path in source.iterdir() if path.is_file()) if source.is_dir() else [source]
    for file in files:
        if file.suffix.lower() in PICKLES:
            raise _refused(file, "a pickle runs code when it is loaded", "give safetensors or GGUF alone")
    if not source.is_dir():
        return (_gguf(source),)
    if not any(file.suffix == ".safetensors" for file in files):
        raise _refused(source, "a folder without *.safetensors", "give the GGUF file itself, or a safetensors folder")
    return tuple(file for file in files if file.suffix in BESIDE_SAFETENSORS or _safetensors(file))


def check_width(level: str, *, allow_wider: bool) -> None:
    """Raise `BakeError` for a quantization of more than four bits, or one that cannot be told."""
    if not allow_wider and not FOUR_BITS_OR_LESS.match(level):
        why = f"its quantization is {level or 'unknown'}, wider than 4 bits"
        raise BakeError("model", "width", why, "take 4 bits, set QUANTIZE=q4_K_M for an import, or ALLOW_WIDER=1")


def check_context(num_ctx: int, trained: int) -> None:
    """Raise `BakeError` for a context that the model was not trained for: Ollama would cut it without a word."""
    if num_ctx > trained:
        why = f"NUM_CTX={num_ctx:,} is longer than the {trained:,} tokens that the model was trained for"
        raise BakeError("model", "context", why, f"set NUM_CTX to at most {trained}")


def _gguf(file: Path) -> Path:
    with file.open("rb") as opened:
        if opened.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise _refused(file, "its first bytes are not those of GGUF", "give a GGUF file or a safetensors folder")
    return file


def _safetensors(file: Path) -> bool:
    if file.suffix != ".safetensors":
        return False
    with file.open("rb") as opened:
        if opened.read(9)[8:] != b"{":  # eight bytes of length, then a JSON header
            raise _refused(file, "its header is not that of safetensors", "fetch the file again")
    return True


def _refused(file: Path, why: str, action: str) -> BakeError:
    return BakeError("import", file.name, f"refused: {why}", action)
