#!/bin/bash
# Stands in place of Ollama's llama-server: leaves a record of the flags, adds --slot-save-path, becomes the real one.
#
# Ollama gives --slot-save-path no variable, and without it no prompt cache can be saved or restored. Whatever is
# missing or not writable here, the real llama-server starts all the same.
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

# Ollama also starts it without a model, to ask for devices: that is no runner.
[[ -n $weights ]] || exec "$real" "$@"

record() {
    mkdir -p "$runners" && [[ -w $runners ]] || return
    {
        env -0 | while IFS= read -rd '' line; do
            # One line each: a value that holds a line break could pass for another option.
            [[ $line == LLAMA_ARG_* && $line != *$'\n'* ]] && printf '%s\n' "$line"
        done | LC_ALL=C sort
        printf '%s\n' "$@"
    } >"$runners/.$port.$$" && mv -f "$runners/.$port.$$" "$runners/$port"
}
[[ $port =~ ^[0-9]+$ ]] && record "$@" 2>/dev/null

[[ -d $cache && -r $cache ]] && set -- "$@" --slot-save-path "$cache"
exec "$real" "$@"
