#!/bin/bash
# Starts the Ollama container: checks the settings and the built-in files, runs the server, and drains it on SIGTERM.
set -u
models="${OLLAMA_MODELS:-/models}"
runtime="${RUNTIME_DIR:-/run/ollama}"
ollama="${OLLAMA_BINARY:-/usr/bin/ollama}"
# Cloud Run sends SIGKILL 10 s after SIGTERM; 2 s of them are left for Ollama itself.
drain_seconds="${DRAIN_SECONDS:-8}"
verify="${VERIFY:-0}"
export HOME="${HOME:-/tmp}"

say() { printf 'entrypoint: %s\n' "$*" >&2; }

# A bad setting stops the container at the start, where somebody looks, and not at SIGTERM.
check_settings() {
    local bad=0
    if [[ ! $drain_seconds =~ ^[0-9]{1,4}$ ]]; then
        say "DRAIN_SECONDS=$drain_seconds: expected whole seconds from 0 to 9999, without a unit (default 8)"
        bad=1
    fi
    if [[ $verify != 0 && $verify != 1 ]]; then
        say "VERIFY=$verify: expected 1 (hash every file before the start) or 0 (compare sizes; default)"
        bad=1
    fi
    if [[ ! -x $ollama ]]; then
        say "OLLAMA_BINARY=$ollama: no such program; leave it unset in the image"
        bad=1
    fi
    return "$bad"
}

# blobs.txt lists what manifest.json lists, in a form that a shell can read: SIZE FOLDER/sha256-HEX, one per line. By
# default only sizes are compared, because the registry's digest has already proven the contents. VERIFY=1 hashes every
# file, about one second per GB. A damaged prompt cache only costs time, so the server starts without it.
check_files() {
    local size file fault
    if [[ ! -r $models/blobs.txt ]]; then
        say "$models/blobs.txt: missing: no model was built in, or a volume hides it; the model source must deliver the model"
        return 0
    fi
    while read -r size file; do
        fault=$(fault_of "$file" "$size") && continue
        if [[ $file == prompt-cache/* ]]; then
            say "$file: $fault: the image is damaged; starting without the prompt cache"
            export PROMPT_CACHE_DIR=/dev/null # not a directory, so the wrapper adds no option
        else
            say "$file: $fault: the image is damaged; build the image again and deploy it"
            return 1
        fi
    done <"$models/blobs.txt"
}

# Prints what is wrong with file $1, which should have $2 bytes. Returns 0 and prints nothing when the file is good.
fault_of() {
    local found
    if ! found=$(stat -Lc %s -- "$models/$1" 2>/dev/null); then
        printf 'missing, expected %s bytes' "$2"
    elif [[ $found != "$2" ]]; then
        printf 'has %s bytes, expected %s' "$found" "$2"
    elif [[ $verify == 1 ]] && ! sha256sum --check --status <<<"${1##*sha256-}  $models/$1"; then
        printf 'its SHA-256 differs from its name'
    else
        return 0
    fi
    return 1
}

# Copies the manifest into the directory that both containers mount, where the agent reads it.
publish() {
    rm -f -- "$runtime"/runners/* 2>/dev/null # left by an earlier container
    if [[ ! -d $runtime || ! -w $runtime ]]; then
        say "$runtime: not writable: the prompt cache is not used, and SIGTERM cuts requests in flight; mount a volume there"
        return 0
    fi
    [[ -r $models/manifest.json ]] || return 0
    cp -- "$models/manifest.json" "$runtime/.manifest.json.$$" &&
        mv -f -- "$runtime/.manifest.json.$$" "$runtime/manifest.json"
}

# Returns 0 when the runner on port $1 is working on a request. A runner that is silent for a second counts as busy.
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

# The runners must be idle twice in a row: a queued request takes its slot a moment after the previous one leaves it.
drain() {
    local quiet=0
    local until=$((SECONDS + 10#$drain_seconds)) # base 10: 08 is not octal
    any_busy && say "SIGTERM with requests in flight: waiting up to $drain_seconds s for them"
    while ((quiet < 2 && SECONDS < until)); do
        if any_busy; then quiet=0; else quiet=$((quiet + 1)); fi
        sleep 0.1
    done
}

check_settings || exit 1
check_files || exit 1
publish

"$ollama" serve &
server=$!
stopping=0
trap 'stopping=1' TERM INT

# `wait` returns at every signal. Go on until the server has ended or a stop was asked for.
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
