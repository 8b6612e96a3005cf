"""Under which paths the agent answers each check.

Each has two spellings, because Cloud Run answers some external paths that end in z itself.
"""

PATHS = {
    "startup": ("/startup", "/startupz"),
    "ready": ("/ready", "/readyz", "/health", "/healthz"),
    "live": ("/live", "/livez"),
}
# All that the agent answers itself.
OWN_PATHS = frozenset(path for paths in PATHS.values() for path in paths) | {"/status", "/metrics", "/"}
