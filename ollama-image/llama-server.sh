#!/bin/bash
# Replaces Ollama's llama-server: writes down the flags, adds --slot-save-path, then runs the real llama-server.
#
# llama-server saves and restores prompt caches only with --slot-save-path, and Ollama has no setting for that flag.
# When something here is missing or not writable, the real llama-server still starts.
real="${BASH_SOURCE[0]%/*}/llama-server-upstream"
cache="${PROMPT_CACHE_DIR:-/models/prompt-cache}"
runners="${RUNTIME_DIR:-/run/ollama}/runners"

port="" weights=""
for ((i = 1; i < $#; i++)); do
    next=$((i + 1))
    case "${!i}" in
        --port) port="${!next}" ;;
        --model | -m) weights="${!next}" ;;
    esac
done

# Ollama also starts llama-server without a model, to list devices. That is not a runner.
[[ -n $weights ]] || exec "$real" "$@"

record() {
    mkdir -p "$runners" && [[ -w $runners ]] || return
    {
        env -0 | while IFS= read -rd '' line; do
            # One line each: a value with a line break could look like another option.
            [[ $line == LLAMA_ARG_* && $line != *$'\n'* ]] && printf '%s\n' "$line"
        done | LC_ALL=C sort
        printf '%s\n' "$@"
    } >"$runners/.$port.$$" && mv -f "$runners/.$port.$$" "$runners/$port"
}
[[ $port =~ ^[0-9]+$ ]] && record "$@" 2>/dev/null

[[ -d $cache && -r $cache ]] && set -- "$@" --slot-save-path "$cache"
exec "$real" "$@"
