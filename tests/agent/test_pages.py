"""The pages hold every setting, endpoint, field and metric: documentation that cannot rot."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from probe_agent.endpoints import app, paths
from probe_agent.endpoints.status import status
from probe_agent.readiness.controller import Controller
from probe_agent.sources.mount import MountSource
from probe_agent.variables import VARIABLES
from tests.agent.conftest import Clock
from tests.agent.endpoints.test_metrics_status import bring_up

ROOT = Path(__file__).parents[2]
ENDPOINTS = (ROOT / "docs/endpoints.md").read_text(encoding="utf-8")


def rows(page: str) -> list[list[str]]:
    """Return the cells of a page's tables, row by row."""
    return [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines() if line.startswith("|")
    ]


ROWS = rows(ENDPOINTS)
PATHS = [path for spellings in paths.PATHS.values() for path in spellings] + ["/status", "/metrics", "/"]


@pytest.mark.parametrize("page", ["README.md", "docs/settings.md", "docs/troubleshooting.md"])
def test_a_page_names_only_settings_that_exist(page: str) -> None:
    """Every PROBE_AGENT_ variable in the page is one of the agent's settings."""
    named = set(re.findall(r"PROBE_AGENT_[A-Z_]*[A-Z]", (ROOT / page).read_text(encoding="utf-8")))

    assert named <= {variable.name for variable in VARIABLES}


@pytest.mark.parametrize("path", PATHS)
def test_every_endpoint_is_documented(path: str) -> None:
    """Each path that the agent answers has a row in the table of endpoints."""
    assert any(f"`{path}`" in row[0] for row in ROWS)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/**/*.md")),
        "CONTRIBUTING.md",
        "SECURITY.md",
    ],
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """Every relative link of the documentation leads to a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text(encoding="utf-8"))

    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


async def scrape(controller: Controller) -> str:
    """Return the text of `/metrics` as the application answers it."""
    transport = httpx.ASGITransport(app.build(controller, controller.run))
    async with httpx.AsyncClient(transport=transport, base_url="http://agent") as client:
        return (await client.get("/metrics")).text


@pytest.fixture
def metric_names(controller: Controller, clock: Clock) -> set[str]:
    """The names of all metrics of a ready agent that has a source."""
    controller.source = MountSource(Path("/models"))
    bring_up(controller, clock)
    return set(re.findall(r"^# TYPE (\S+) ", asyncio.run(scrape(controller)), re.MULTILINE))


def test_the_documented_metrics_are_the_metrics(metric_names: set[str]) -> None:
    """The table of metrics has a row for each metric of a scrape, and no others."""
    documented = {match[1] for row in rows(ENDPOINTS) if (match := re.fullmatch(r"`(probe_agent_\w+)`", row[0]))}

    assert documented == metric_names


def leaves(value: object, name: str = "") -> Iterator[str]:
    """Yield the names of all fields that hold no others, each with those around it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value:
        yield from leaves(value[0], f"{name}[]")
    else:
        yield name


def documented_fields() -> Iterator[str]:
    """Yield the names in the table of fields; one that begins with a dot is a sibling of the one before it."""
    table = ENDPOINTS.partition("## Fields")[2].partition("## Metrics")[0]
    for row in rows(table):
        around = ""
        for dots, name in re.findall(r"`((?:[a-z_]*(?:\[\])?\.)*)([a-z_]+)`", row[0]):
            around = around if dots == "." else dots
            yield around + name


def test_the_documented_fields_of_status_are_its_fields(controller: Controller, clock: Clock) -> None:
    """The table of fields names each field of a ready agent's `/status`, and no others."""
    controller.source = MountSource(Path("/models"))
    bring_up(controller, clock)

    assert set(documented_fields()) == set(leaves(status(controller.view())))


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/requirements.md"])
def test_a_page_names_only_places_that_exist(page: str) -> None:
    """Each path in backticks is a file or a directory of the repository."""
    named = re.findall(r"`([\w.-]+/[\w./-]*|[\w-]+\.yaml)`", (ROOT / page).read_text(encoding="utf-8"))

    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
