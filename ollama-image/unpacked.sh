#!/bin/bash
# Runs the Dockerfile's steps without a container engine. FOLDER becomes the image's root: `ops up --image-root FOLDER`.
#
#   MODEL=mine SOURCE=model.gguf ollama-image/unpacked.sh FOLDER
#
# Build arguments are environment variables with the Dockerfile's defaults. Ollama is OLLAMA_BIN, else the one on PATH.
# Ollama's libraries are linked, not copied.
set -euo pipefail
here=$(cd -- "${BASH_SOURCE[0]%/*}" && pwd)
folder=${1:?usage: unpacked.sh FOLDER}
mkdir -p -- "$folder"
folder=$(cd -- "$folder" && pwd)
if [[ -n $(ls -A -- "$folder") ]]; then
    printf 'unpacked.sh: %s: not empty; name a new folder\n' "$folder" >&2
    exit 1
fi
ollama=$(command -v -- "${OLLAMA_BIN:-ollama}") || {
    printf 'unpacked.sh: no ollama on PATH; set OLLAMA_BIN\n' >&2
    exit 1
}
ollama=$(realpath -- "$ollama")
libraries=${ollama%/*/*}/lib/ollama
if [[ ! -x $libraries/llama-server ]]; then
    printf 'unpacked.sh: %s: has no llama-server; take Ollama 0.30 or later\n' "$libraries" >&2
    exit 1
fi

# FROM base. Ollama follows links to find its libraries, so the binary itself is copied.
mkdir -p -- "$folder"/usr/{bin,lib/ollama,local/bin}
cp -- "$ollama" "$folder/usr/bin/ollama"
ln -s -- "$libraries"/* "$folder/usr/lib/ollama/"
mv -- "$folder/usr/lib/ollama/llama-server" "$folder/usr/lib/ollama/llama-server-upstream"
install -m 0555 -- "$here/llama-server.sh" "$folder/usr/lib/ollama/llama-server"
install -m 0555 -- "$here/entrypoint.sh" "$folder/usr/local/bin/entrypoint.sh"

# The builder stage and its two COPY instructions. The bake leaves read-only folders, into which only root may copy.
PYTHONPATH="$here:$here/../probe-agent/src" PYTHONDONTWRITEBYTECODE=1 IMPORT_DIR="${IMPORT_DIR:-$here/import}" \
    WARMUP="${WARMUP:-$here/warmup.jsonl}" OUT="$folder/out" WORK="$folder/build" OLLAMA_BINARY="$folder/usr/bin/ollama" \
    "${PYTHON:-python3}" -m bake
chmod -R u+w -- "$folder/out"
cp -al -- "$folder"/out/model/. "$folder"/out/rest/. "$folder/"
rm -r -- "$folder/out"
