#!/bin/bash
# The ollama container: check the baked files, start the server, and stop without cutting.
set -u
models="${OLLAMA_MODELS:-/models}"
runtime="${RUNTIME_DIR:-/run/ollama}"
ollama="${OLLAMA_BINARY:-/usr/bin/ollama}"
# Cloud Run kills 10 s after SIGTERM; two of them are left for Ollama itself.
drain_seconds="${DRAIN_SECONDS:-8}"
export HOME="${HOME:-/tmp}"

say() { printf 'entrypoint: %s\n' "$*" >&2; }

# blobs.txt is the list of manifest.json for a shell, which reads no JSON: SIZE FOLDER/sha256-HEX, one a line. The
# registry's digest has proven the contents; with VERIFY=1 every byte is hashed once more, which takes a second for each
# GB or so. A damaged prompt cache only costs time, so the start goes on without it.
check_files() {
    local size file fault
    if [[ ! -r $models/blobs.txt ]]; then
        say "$models/blobs.txt: not there: no model was built in, or a volume covers it; its source must deliver it"
        return 0
    fi
    while read -r size file; do
        fault=$(fault_of "$file" "$size") && continue
        if [[ $file == prompt-cache/* ]]; then
            say "$file: $fault: the image is damaged; going on without the prompt cache"
            export PROMPT_CACHE_DIR=/dev/null # no folder, so that the wrapper adds no option
        else
            say "$file: $fault: the image is damaged; build it anew and deploy that"
            return 1
        fi
    done <"$models/blobs.txt"
}

# What is wrong with file $1, which should be of $2 bytes; status 0 and no word if nothing is.
fault_of() {
    local found
    if ! found=$(stat -Lc %s -- "$models/$1" 2>/dev/null); then
        printf 'missing, expected %s bytes' "$2"
    elif [[ $found != "$2" ]]; then
        printf 'has %s bytes, expected %s' "$found" "$2"
    elif [[ ${VERIFY:-0} == 1 ]] && ! sha256sum --check --status <<<"${1##*sha256-}  $models/$1"; then
        printf 'its content is not what its name says'
    else
        return 0
    fi
    return 1
}

# The agent reads what the image holds from the directory that both containers mount.
publish() {
    rm -f -- "$runtime"/runners/* 2>/dev/null # records of a container before this one
    if [[ ! -d $runtime || ! -w $runtime ]]; then
        say "$runtime: not writable: no prompt cache, and requests are cut at a stop; mount a volume there"
        return 0
    fi
    [[ -r $models/manifest.json ]] || return 0
    cp -- "$models/manifest.json" "$runtime/.manifest.json.$$" &&
        mv -f -- "$runtime/.manifest.json.$$" "$runtime/manifest.json"
}

# Whether the runner on port $1 has a request in hand; one that does not answer in a second is taken to be at work.
busy() {
    local line answered=1 key="${LLAMA_API_KEY:+Authorization: Bearer $LLAMA_API_KEY$'\r\n'}"
    exec {wire}<>"/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET /slots HTTP/1.0\r\nHost: 127.0.0.1\r\n%s\r\n' "$key" >&"$wire"
    while :; do
        IFS= read -r -t 1 line <&"$wire"
        local status=$?
        [[ $line == *'"is_processing":true'* ]] && answered=0
        ((status > 128)) && answered=0
        ((status == 0)) || break
    done
    exec {wire}>&-
    return "$answered"
}

any_busy() {
    local record
    for record in "$runtime"/runners/*; do
        [[ -f $record ]] || continue
        { busy "${record##*/}"; } 2>/dev/null && return 0
    done
    return 1
}

# Two quiet looks, not one: a queued request takes its slot a moment after the one before has left it.
drain() {
    local quiet=0
    local until=$((SECONDS + drain_seconds))
    any_busy && say "told to stop with requests in flight: waiting up to $drain_seconds s for them"
    while ((quiet < 2 && SECONDS < until)); do
        if any_busy; then quiet=0; else quiet=$((quiet + 1)); fi
        sleep 0.1
    done
}

check_files || exit 1
publish

"$ollama" serve &
server=$!
stopping=0
trap 'stopping=1' TERM INT

# `wait` comes back for each signal; only the end of the server, or the wish to stop, ends this.
while ((!stopping)) && kill -0 "$server" 2>/dev/null; do
    wait "$server"
    status=$?
done
if ((stopping)); then
    trap '' TERM INT
    drain
    kill -TERM "$server" 2>/dev/null
    wait "$server"
    status=$?
fi
exit "$status"
