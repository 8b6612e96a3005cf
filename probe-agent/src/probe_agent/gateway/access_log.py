"""One line for each request: who, what, how long. Prompts and answers are never logged."""

from probe_agent.gateway.exchange import Exchange


def access_line(exchange: Exchange) -> str:
    """Return the line: method, path, status and, where known, tenant, model, seconds, tokens and what was changed."""
    route = exchange.route
    where = f"{route.method} {route.path}" if route is not None else "refused before its route was known"
    parts = [where, str(exchange.status or "no answer")]
    if exchange.outcome != "ok":
        parts.append(exchange.outcome)
    ended = exchange.clock() if exchange.ended is None else exchange.ended
    named = {
        "tenant": exchange.tenant or None,
        "model": exchange.model or None,
        "queue_seconds": round(exchange.queue_seconds, 3) or None,
        "first_token_seconds": None if exchange.first_byte is None else round(exchange.first_byte - exchange.began, 3),
        "seconds": round(ended - exchange.began, 3),
        "prompt_tokens": exchange.prompt_tokens,
        "answer_tokens": exchange.answer_tokens,
        "changed": ",".join(exchange.pinned.changed) or None if exchange.pinned else None,
    }
    return " ".join([*parts, *(f"{name}={value}" for name, value in named.items() if value is not None)])
