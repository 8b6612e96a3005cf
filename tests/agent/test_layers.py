"""The direction of dependencies inside the agent, its libraries, and the size of its modules."""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import probe_agent

PACKAGE = Path(probe_agent.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# From the ground up: a module imports its own layer and those below it.
LAYERS = (
    ("__init__", "text", "errors", "check", "late_import", "cloud_logging", "logs", "http_server"),
    ("ollama",),
    ("api_keys", "parse", "variables", "settings"),
    ("sources", "prompt_cache"),
    ("readiness",),
    ("endpoints", "gateway"),
    ("server",),
    ("__main__",),
)
LIBRARIES = {"google", "httptools", "httpx", "ollama", "prometheus_client", "starlette", "uvicorn"}
# What decides does no I/O, keeps no time, and logs nothing.
PURE = (
    "errors",
    "ollama/types",
    "readiness/states",
    "readiness/conditions",
    "readiness/backoff",
    "variables",
    "settings",
)
EFFECTS = {"asyncio", "http", "logging", "os", "socket", "ssl", "subprocess", "threading", "time"}
LONGEST_MODULE = 301


def room(name: str) -> str:
    """Return the top-level module or package of a dotted name or a file inside `probe_agent`."""
    return name.partition(".")[0] or "__init__"


def imports(path: Path, nodes: Iterable[ast.AST] | None = None) -> Iterator[str]:
    """Yield the dotted name of everything a module imports, late or not."""
    for node in nodes or ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_its_own_layer_and_those_below(path: Path) -> None:
    """Arrows go down only: endpoints read readiness, readiness drives sources, all of them know Ollama's nouns."""
    heights = {name: height for height, names in enumerate(LAYERS) for name in names}
    own = heights[path.relative_to(PACKAGE).with_suffix("").parts[0]]
    for name in imports(path):
        if name.startswith("probe_agent."):
            used = room(name.removeprefix("probe_agent."))
            assert heights.get(used, 0) <= own, f"{path.name} imports {name}, which lies above it"


def test_no_two_modules_import_each_other() -> None:
    """The modules can be put in an order in which each depends on earlier ones alone."""
    names = {".".join(("probe_agent", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in FILES}
    waiting = {
        name: {other for used in imports(path) for other in (used, used.rpartition(".")[0]) if other in names}
        for name, path in names.items()
    }
    while waiting:
        free = {name for name, needs in waiting.items() if not needs & waiting.keys()}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in free}


def test_the_agent_needs_the_declared_libraries_alone() -> None:
    """Beside the standard library there are the libraries above; the operators' tools never come in."""
    used = {room(name) for path in FILES for name in imports(path)} - sys.stdlib_module_names
    assert used == LIBRARIES | {"probe_agent"}


@pytest.mark.parametrize(
    ("library", "doors"),
    [("ollama", {"ollama/client.py"}), ("uvicorn", {"http_server.py", "server.py"})],
)
def test_a_library_has_few_doors(library: str, doors: set[str]) -> None:
    """Ollama's client, the web server and Google's libraries are each imported where they belong."""
    users = {str(path.relative_to(PACKAGE)) for path in FILES if library in map(room, imports(path))}
    assert users == doors


@pytest.mark.parametrize("module", PURE)
def test_judgements_are_pure(module: str) -> None:
    """What decides does no I/O, keeps no time, and logs nothing."""
    assert not EFFECTS & {room(name) for name in imports(PACKAGE / f"{module}.py")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_stay_small(path: Path) -> None:
    """A newcomer reads a module in one sitting."""
    assert len(path.read_text(encoding="utf-8").splitlines()) < LONGEST_MODULE
