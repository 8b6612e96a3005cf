"""The report in a real browser: on a phone, on a desk, dark and light; nothing is asked of the network."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lab.browser import CHROMIUM, dumped
from ops.loadtest import conclusion, limits
from ops.loadtest.conclusion import Rule
from ops.loadtest.loads import Load, Loop
from ops.loadtest.record import Record, Repetition, Step
from ops.loadtest.report import page
from ops.loadtest.run import Run

# The smallest text of a plot on a phone: smaller cannot be read.
LEAST_PIXELS = 7.5
# What the page looks like once it is laid out; a frame tells the page around it.
ASK = """<script>addEventListener("load", () => {
  const root = document.documentElement, style = getComputedStyle(document.body);
  const plots = [...document.querySelectorAll("figure svg")].map((svg) => ({
    title: document.getElementById(svg.getAttribute("aria-labelledby").split(" ")[0])?.textContent,
    says: document.getElementById(svg.getAttribute("aria-labelledby").split(" ")[1])?.textContent,
    width: svg.getBoundingClientRect().width, right: svg.getBoundingClientRect().right,
    ink: [...new Set([...svg.querySelectorAll("text")].map((text) => getComputedStyle(text).fill))],
    text: Math.min(...[...svg.querySelectorAll("text")].map((text) =>
      parseFloat(getComputedStyle(text).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)),
  }));
  parent.postMessage({ width: root.clientWidth, needs: root.scrollWidth, ground: style.backgroundColor,
    ink: style.color, plots, asked: performance.getEntriesByType("resource").length,
    first: document.querySelector(".summary p").textContent }, "*");
});</script>"""
AROUND = """<!doctype html><body><pre id="told"></pre><script>
addEventListener("message", (event) => { document.getElementById("told").textContent = JSON.stringify(event.data); });
</script><iframe src="asked.html" style="width: %dpx; height: 900px; border: 0"></iframe>"""


def a_report(folder: Path) -> Path:
    """Write the report of a run over two numbers of slots, made up by a formula; returns the page."""
    steps = []
    for slots in (2, 4):
        for users in (1, 2, 4, 8, 16):
            slow = max(1.0, users / slots)
            records = [
                Record(n * slow, n * slow, (n + 1) * slow, n * slow + slow - 0.9, (n + 1) * slow, 30, 40)
                for n in range(40)
            ] * users
            steps.append(Step(slots, Load(Loop.CLOSED, float(users)), [Repetition(tuple(records), 1, 38 * slow)]))
    steps.append(Step(4, Load(Loop.CLOSED, 32.0), skipped="past saturation"))
    settings = {"target": "https://example.invalid", "model": "m<script>"}
    run = Run(settings=settings, environment={"cores": 2}, label="two & four", steps=steps)
    wanted = limits.with_default([limits.parse("ttft_p95=2s")])
    page.write(folder, run, wanted, conclusion.conclude(run, wanted, Rule(), 0.0004))
    return folder / page.FILE


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report."""
    return a_report(tmp_path_factory.mktemp("report"))


def seen(report: Path, folder: Path, width: int, *more: str) -> dict[str, Any]:
    """Return what the browser tells of the report in a window of so many pixels."""
    html = report.read_text(encoding="utf-8")
    (folder / "asked.html").write_text(html.replace("</body>", f"{ASK}</body>"), encoding="utf-8")
    (folder / "around.html").write_text(AROUND % width, encoding="utf-8")
    document = dumped(folder / "around.html", folder / "profile", *more)
    told = re.search(r'<pre id="told">(.+?)</pre>', document, re.DOTALL)
    assert told, document[:2000]
    found: dict[str, Any] = json.loads(unescape(told[1]))
    return found


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [360, 1200])
def test_the_report_fits_the_screen(report: Path, tmp_path: Path, width: int) -> None:
    """On a phone and on a desk nothing runs over the edge, every plot is there, named, and can be read."""
    found = seen(report, tmp_path, width)
    assert found["needs"] <= found["width"] == width
    assert found["first"] == "Set containerConcurrency to 4 and OLLAMA_NUM_PARALLEL to 4."
    assert [plot["title"] for plot in found["plots"]] == [
        "Latency against throughput",
        "Cost against latency",
        "Time to first token, by load",
        "Time per output token, by load",
    ]
    for plot in found["plots"]:
        assert plot["says"]
        assert 300 < plot["width"] <= plot["right"] < width
        assert plot["text"] >= LEAST_PIXELS
    assert found["asked"] == 0


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize(
    ("scheme", "options"),
    [("light", ()), ("dark", ("--force-dark-mode", "--blink-settings=preferredColorScheme=0"))],
)
def test_the_report_is_read_dark_and_light(report: Path, tmp_path: Path, scheme: str, options: tuple[str, ...]) -> None:
    """Page and plots have the same ink, far from the ground, as the reader's system has it."""
    found = seen(report, tmp_path, 800, *options)
    ground, ink = luminance(found["ground"]), luminance(found["ink"])
    contrast = (max(ground, ink) + 0.05) / (min(ground, ink) + 0.05)
    assert (ground < ink) == (scheme == "dark")
    assert contrast >= 7
    assert all(plot["ink"] == [found["ink"]] for plot in found["plots"])


def luminance(colour: str) -> float:
    """Return a colour's relative luminance, 0 to 1 (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_report_needs_nothing_else(report: Path) -> None:
    """One file: no script, no style, no picture from elsewhere; what a user named is text and never markup."""
    html = report.read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|<img|@import|url\((?!#)", html)
    assert "m&lt;script&gt;" in html
    assert "two &amp; four" in html
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', html) == []


def test_every_plot_is_kept_as_svg_and_png(report: Path) -> None:
    """For a document of one's own, on white."""
    names = {path.name for path in (report.parent / page.PLOTS).iterdir()}
    assert names == {
        f"{name}.{kind}"
        for name in ("latency-throughput", "cost-latency", "ttft-distribution", "tpot-distribution")
        for kind in ("svg", "png")
    }
    assert all((report.parent / page.PLOTS / name).stat().st_size > 2000 for name in names)
