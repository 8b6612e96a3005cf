"""Model names as Ollama reads them: [[HOST/]NAMESPACE/]MODEL[:TAG]. Pure.

`owl`, `owl:latest`, `library/owl` and `registry.ollama.ai/library/owl:latest` are one model, in any case.
"""

DEFAULT_HOST, DEFAULT_NAMESPACE, DEFAULT_TAG = "registry.ollama.ai", "library", "latest"


def canonical_name(text: str) -> str:
    """Return the one form that all spellings of a model's name share, for comparisons.

    >>> canonical_name("Owl")
    'registry.ollama.ai/library/owl:latest'
    """
    path, tag = _parts(text)
    return f"{'/'.join(path)}:{tag}".casefold()


def short_name(text: str) -> str:
    """Return a name as `/api/tags` lists it: with its tag, without the default host and namespace.

    >>> short_name("registry.ollama.ai/library/owl")
    'owl:latest'
    """
    path, tag = _parts(text)
    for default in (DEFAULT_HOST, DEFAULT_NAMESPACE):
        if path[0].casefold() != default:
            break
        path = path[1:]
    return f"{'/'.join(path)}:{tag}"


def same_model(one: str, other: str) -> bool:
    """Whether two names mean the same model."""
    return canonical_name(one) == canonical_name(other)


def store_parts(text: str) -> list[str]:
    """Return host, namespace, model and tag, where a store's manifest lies; more parts if the name has too many."""
    path, tag = _parts(text)
    return [*path, tag]


def _parts(text: str) -> tuple[list[str], str]:
    rest, colon, tag = text.rpartition(":")
    if not colon or "/" in tag:  # that colon belongs to the registry's port
        rest, tag = text, DEFAULT_TAG
    parts = rest.split("/")
    return [DEFAULT_HOST, DEFAULT_NAMESPACE][: max(0, 3 - len(parts))] + parts, tag
