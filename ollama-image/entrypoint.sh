#!/bin/bash
# The ollama container: check the baked files, start the server, read the weights ahead, and stop without cutting.
set -u
models="${OLLAMA_MODELS:-/models}"
runtime="${RUNTIME_DIR:-/run/ollama}"
ollama="${OLLAMA_BINARY:-/usr/bin/ollama}"
# Cloud Run kills 10 s after SIGTERM; two of them are left for Ollama itself.
drain_seconds="${DRAIN_SECONDS:-8}"
prefetch_readers="${PREFETCH_READERS:-8}"
# Below this a blob is read before a reader has started.
prefetch_least_bytes=$((16 << 20))
export HOME="${HOME:-/tmp}"

say() { printf 'entrypoint: %s\n' "$*" >&2; }

# blobs.txt is the list of manifest.json for a shell, which reads no JSON: SIZE NAME, one a line. The registry's digest
# has proven the contents; with VERIFY=1 every byte is hashed once more, which takes a second for each GB or so.
check_blobs() {
    local size name found damaged="the image is damaged; build it anew and deploy that"
    if [[ ! -r $models/blobs.txt ]]; then
        say "$models/blobs.txt: not there: no model was built in, or a volume covers it; its source must deliver it"
        return 0
    fi
    while read -r size name; do
        found=$(stat -Lc %s -- "$models/blobs/$name" 2>/dev/null) || found=missing
        if [[ $found != "$size" ]]; then
            [[ $found == missing ]] || found="has $found bytes"
            say "blob $name: $found, expected $size bytes: $damaged"
            return 1
        fi
        if [[ ${VERIFY:-0} == 1 ]] &&
            ! sha256sum --check --status <<<"${name#sha256-}  $models/blobs/$name"; then
            say "blob $name: its content is not what its name says: $damaged"
            return 1
        fi
    done <"$models/blobs.txt"
}

# The agent reads what the image holds from the directory that both containers mount.
publish() {
    rm -f -- "$runtime"/runners/* 2>/dev/null # records of a container before this one
    [[ -r $models/manifest.json && -d $runtime && -w $runtime ]] || return 0
    cp -- "$models/manifest.json" "$runtime/.manifest.json.$$" &&
        mv -f -- "$runtime/.manifest.json.$$" "$runtime/manifest.json"
}

# Several ranges at once: one reader alone waits for each answer of the storage before it asks again.
prefetch() {
    local size name share n
    while read -r size name; do
        ((size >= prefetch_least_bytes)) || continue
        share=$(((size / (1 << 20)) / prefetch_readers + 1))
        for ((n = 0; n < prefetch_readers; n++)); do
            dd if="$models/blobs/$name" of=/dev/null bs=1M skip=$((n * share)) count="$share" status=none &
        done
        wait
    done <"$models/blobs.txt"
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

check_blobs || exit 1
publish

"$ollama" serve &
server=$!
stopping=0
trap 'stopping=1' TERM INT
if [[ ${PREFETCH:-0} == 1 && -r $models/blobs.txt ]]; then
    prefetch &
fi

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
