"""The direction of dependencies inside the agent, and the size of its modules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import probe_agent

PACKAGE = Path(probe_agent.__file__).parent
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in PACKAGE.rglob("*.py")
}
LONGEST_MODULE = 300
LONGEST_ENTRY_POINT = 60

# Each module, and all that it may import of the agent. A new arrow is a decision: it is drawn here first.
ARROWS = {
    "__init__": set(),
    "errors": set(),
    "check": set(),
    "paths": set(),
    "policy": set(),
    "runner_flags": set(),
    "strict_json": set(),
    "warmup": {"strict_json"},
    "waterfall": set(),
    "cloud_logging": set(),
    "late_import": set(),
    "logs": {"cloud_logging", "late_import"},
    "readiness": {"errors"},
    "proof": {"readiness"},
    "parse": {"proof", "warmup"},
    "settings": {"errors", "parse", "proof", "warmup"},
    "record": {"proof", "readiness", "waterfall"},
    "ollama_server": {"errors", "late_import", "proof", "warmup"},
    "loads": {"ollama_server", "proof"},
    "models.__init__": set(),
    "models.layout": {"errors", "strict_json"},
    "models.blobs": {"errors", "models.layout"},
    "models.progress": set(),
    "models.parallel": set(),
    "models.source": {"models.progress"},
    "models.stoppable": set(),
    "models.image_manifest": {"errors", "strict_json", "warmup"},
    "models.mount": {
        "errors",
        "models.blobs",
        "models.layout",
        "models.parallel",
        "models.progress",
        "models.stoppable",
    },
    "models.parts": {"models.blobs"},
    "models.gcs_errors": {"errors", "late_import"},
    "models.gcs": {
        "errors",
        "models.blobs",
        "models.gcs_errors",
        "models.layout",
        "models.parallel",
        "models.parts",
        "models.progress",
        "models.stoppable",
    },
    "models.pull": {"errors", "models.layout", "models.mount", "models.progress", "ollama_server"},
    "models.choose": {"models.gcs", "models.mount", "models.pull", "models.source", "ollama_server", "settings"},
    "fetch": {"errors", "models.source"},
    "prompt_cache": {"errors", "models.image_manifest", "proof", "runner_flags"},
    "warming": {
        "errors",
        "models.image_manifest",
        "ollama_server",
        "prompt_cache",
        "proof",
        "readiness",
        "record",
        "settings",
        "warmup",
    },
    "residents": {"errors", "ollama_server", "proof", "readiness", "record", "settings"},
    "ascent": {
        "errors",
        "fetch",
        "loads",
        "ollama_server",
        "proof",
        "readiness",
        "record",
        "residents",
        "settings",
        "warming",
        "waterfall",
    },
    "watch": {"ascent", "errors", "policy", "proof", "readiness", "record", "settings"},
    "supervisor": {
        "ascent",
        "errors",
        "fetch",
        "models.source",
        "ollama_server",
        "policy",
        "readiness",
        "record",
        "settings",
        "watch",
        "waterfall",
    },
    "status": {"__init__", "proof", "record", "supervisor"},
    "metrics": {"readiness", "supervisor"},
    "app": {"logs", "metrics", "paths", "status", "supervisor"},
    "server": {"app", "logs", "models.choose", "ollama_server", "settings", "supervisor"},
    "__main__": {"__init__", "check", "errors", "server", "settings"},
}
# What is not the standard library, and the modules that may import it.
OUTSIDERS = {
    "httpx": {"ollama_server", "prompt_cache"},
    "ollama": {"ollama_server"},
    "starlette": {"app"},
    "uvicorn": {"server"},
    "prometheus_client": {"metrics"},
    "google": {"cloud_logging", "models.gcs", "models.gcs_errors"},
    "requests": {"models.gcs", "models.gcs_errors"},
    "grpc": {"late_import"},
}
PURE = {
    "errors",
    "models.image_manifest",
    "models.layout",
    "parse",
    "policy",
    "proof",
    "readiness",
    "runner_flags",
    "settings",
    "warmup",
    "waterfall",
}
EFFECTS = {"asyncio", "http", "logging", "os", "socket", "ssl", "subprocess", "threading", "time", "urllib.request"}


def tree(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield the dotted name of everything imported; a name imported from the package itself is a module of it."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = node.module or ""
            yield from (f"{whole}.{alias.name}" for alias in node.names) if whole == "probe_agent" else [whole]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}:
            yield ast.literal_eval(node.args[0])


def arrows(module: str) -> set[str]:
    """Return the agent's modules that a module imports."""
    ours = (name.split(".")[1:] for name in imports(ast.walk(tree(module))) if name.startswith("probe_agent"))
    return {".".join(name) if ".".join(name) in MODULES else "__init__" for name in ours}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_depend_only_on_what_is_drawn(module: str) -> None:
    """A module imports those of the agent's modules that the drawing allows, and no others."""
    assert module in ARROWS, f"draw the arrows of {module}"
    assert arrows(module) <= ARROWS[module]


def test_the_drawing_holds_no_arrow_too_many() -> None:
    """Every drawn arrow is in use, so that the drawing shows what is and not what once was."""
    assert {module: ARROWS[module] - arrows(module) for module in MODULES if ARROWS[module] - arrows(module)} == {}
    assert set(ARROWS) == set(MODULES)


def test_the_arrows_have_no_cycle() -> None:
    """The modules can be put in an order in which each depends on earlier ones alone."""
    waiting, settled = dict(ARROWS), set[str]()
    while waiting:
        free = {module for module, needs in waiting.items() if needs <= settled}
        assert free, f"a cycle among {sorted(waiting)}"
        settled |= free
        waiting = {module: needs for module, needs in waiting.items() if module not in free}


@pytest.mark.parametrize("outsider", sorted(OUTSIDERS))
def test_each_library_has_one_door(outsider: str) -> None:
    """A library is imported by the modules that are its boundary: one, but for HTTP to Ollama and to its runner."""
    users = {
        module for module in MODULES if any(name.split(".")[0] == outsider for name in imports(ast.walk(tree(module))))
    }

    assert users == OUTSIDERS[outsider]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_other_library_is_used(module: str, stdlib_names: frozenset[str]) -> None:
    """Beside the agent and the drawn libraries there is the standard library alone; `ops` above all never comes in."""
    roots = {name.split(".")[0] for name in imports(ast.walk(tree(module)))}

    assert roots <= stdlib_names | set(OUTSIDERS) | {"probe_agent"}
    assert "ops" not in roots


@pytest.mark.parametrize("module", sorted(PURE))
def test_judgements_are_pure(module: str) -> None:
    """What decides does no I/O, keeps no time, and logs nothing."""
    used = set(imports(ast.walk(tree(module))))

    assert not used & EFFECTS


def test_the_state_machine_needs_the_standard_library_alone() -> None:
    """Of all that is no standard library, the state machine imports only the agent's errors."""
    outside = {
        name for name in imports(ast.walk(tree("readiness"))) if name.split(".")[0] in (*OUTSIDERS, "probe_agent")
    }

    assert outside == {"probe_agent.errors"}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"__main__"}))
def test_only_the_entry_point_reads_the_environment(module: str) -> None:
    """No module but `__main__` touches the process's environment variables."""
    touched = {
        node.attr
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    named = {
        alias.name
        for node in ast.walk(tree(module))
        if isinstance(node, ast.ImportFrom) and node.module == "os"
        for alias in node.names
    }

    assert not (touched | named) & {"environ", "environb", "getenv", "putenv"}


def test_cloud_logging_is_imported_late() -> None:
    """The one import of the slow module stands inside a function, never at the top of the module that needs it."""
    at_top = set(imports(iter(tree("logs").body)))

    assert "cloud_logging" in arrows("logs")
    assert "probe_agent.cloud_logging" not in at_top
    assert not any("cloud_logging" in arrows(module) for module in set(MODULES) - {"logs"})


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_stay_small(module: str) -> None:
    """A module fits into a head: at most 300 lines, the entry point fewer than 60."""
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())

    assert lines < (LONGEST_ENTRY_POINT if module == "__main__" else LONGEST_MODULE)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_and_public_name_is_documented(module: str) -> None:
    """Each module, public class and public function says what it is."""
    parsed = tree(module)
    assert ast.get_docstring(parsed)
    for node in ast.walk(parsed):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node in parsed.body:
            assert node.name.startswith("_") or ast.get_docstring(node), node.name
