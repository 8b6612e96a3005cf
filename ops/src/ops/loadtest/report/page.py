"""The page: one HTML file that needs nothing else, the answer first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from ops.loadtest import figure, figures, words
from ops.loadtest.conclusion import Conclusion
from ops.loadtest.errors import LoadTestError
from ops.loadtest.figure import Figure
from ops.loadtest.knee import Measured
from ops.loadtest.limits import Limit
from ops.loadtest.record import Step
from ops.loadtest.report import plots
from ops.loadtest.report.style import CSS
from ops.loadtest.report.summary import lines as summary
from ops.loadtest.run import Run

FILE = "report.html"
PLOTS = "plots"
TIMES = ("ttft_p50", "ttft_p95", "ttft_p99", "tpot_p50", "tpot_p95", "e2e_p50", "e2e_p90", "e2e_p95", "e2e_p99")
COLUMNS = (
    *("requests/s", "tokens/s", "TTFT p50", "TTFT p95", "TTFT p99", "token p50", "token p95", "e2e p50", "e2e p90"),
    *("e2e p95", "e2e p99", "queue p95", "outside p95", "goodput/s", "errors", "requests", "$ / M tokens"),
)
# A paragraph for each empty line.
HOW = """\
Times count from the instant at which a request was meant to go out: in an open loop that instant is fixed before, so
waiting is never left out (no coordinated omission); in a closed loop it is when the user was free to ask.

TTFT: to the first piece of text. Token time: from the first to the last piece, over the tokens between. End to end
(e2e): to the end of the stream. Goodput: answers a second that were whole and within every latency limit.

Queue: what is left of Ollama's total_duration after its load, prompt and answer times. Outside: what passed between
sending and end that Ollama does not account for: the network, and the platform's own queue.

Percentiles are of whole answers (nearest rank); for a limit a failure counts as an endless wait. Intervals are 95 %, by
Student's t over the repetitions, none below three; those of percentiles are at least as wide as resampling repetitions
and blocks of consecutive requests makes them, and there is none where fewer than four requests exceed the percentile.
Throughput counts the share of each answer that came within the measured window.
"""
__all__ = ["FILE", "summary", "write"]


def write(folder: Path, run: Run, limits: Sequence[Limit], found: Conclusion) -> None:
    """Write the page, and each plot as SVG and PNG; raises LoadTestError where it cannot be."""
    made = plots.plots(run, limits, found)
    try:
        (folder / PLOTS).mkdir(parents=True, exist_ok=True)
        for plot in made:
            plots.save(plot, folder / PLOTS)
        (folder / FILE).write_text(_page(run, limits, found, made), encoding="utf-8")
    except OSError as error:
        raise LoadTestError(f"{folder / FILE}: cannot be written ({error.strerror}); choose another --out") from error


def _page(run: Run, limits: Sequence[Limit], found: Conclusion, made: Sequence[plots.Plot]) -> str:
    title = f"Load test {run.label}".strip()
    told = "".join(f"<p>{escape(line)}</p>" for line in summary(run, limits, found))
    verdict = "summary" if found.choice.chosen else "summary none"
    drawn = "".join(_figure(plot) for plot in made)
    how = "".join(f"<p>{escape(line)}</p>" for line in HOW.split("\n\n"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="soft">{escape(_where(run))}</p>\n'
        f'<section class="{verdict}" aria-label="Summary">{told}</section>\n'
        + (f'<h2>Plots</h2>\n<div class="plots">{drawn}</div>\n' if drawn else "")
        + f"<h2>Every load</h2>\n{_table(run.steps, found)}\n"
        f"<h2>How it was measured</h2>\n{how}\n<h2>The run</h2>\n{_settings(run)}\n</main>\n</body>\n</html>\n"
    )


def _where(run: Run) -> str:
    parts = [str(run.settings.get("target")), str(run.environment.get("model") or run.settings.get("model") or "")]
    if version := run.environment.get("server_version"):
        parts.append(f"Ollama {version}")
    return " · ".join([*filter(None, parts), run.started])


def _figure(plot: plots.Plot) -> str:
    return (
        f"<figure><h3>{escape(plot.title)}</h3>{plots.svg(plot)}<figcaption>{escape(plot.says)}</figcaption></figure>"
    )


def _table(steps: Sequence[Step], found: Conclusion) -> str:
    known = {(each.parallel, each.load): each for each in found.measured}
    named = '<th scope="col">load</th><th scope="col">slots</th><th scope="col" class="text">verdict</th>'
    head = named + "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(step, known.get(step.key), found) for step in steps)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures of every load"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(step: Step, each: Measured | None, found: Conclusion) -> str:
    slots = words.NONE if step.parallel is None else str(step.parallel)
    start = f'<th scope="row">{escape(str(step.load))}</th><td>{slots}</td>'
    if each is None:
        why = f"not run: {step.skipped}" if step.skipped else "not measured"
        return f'<tr>{start}<td class="text">{escape(why)}</td><td colspan="{len(COLUMNS)}"></td></tr>'
    is_chosen = found.choice.chosen is not None and step.key == (found.choice.chosen.parallel, found.choice.chosen.load)
    verdict = "the choice" if is_chosen else found.choice.against.get(step.key, "")
    failed = figures.errors(step.usable)
    if failed:
        verdict += " · failed: " + ", ".join(f"{count} × {kind}" for kind, count in failed.items())
    cells = "".join(f"<td>{cell}</td>" for cell in _cells(each))
    mark = ' class="chosen"' if is_chosen else ""
    return f'<tr{mark}>{start}<td class="text">{escape(verdict)}</td>{cells}</tr>'


def _cells(each: Measured) -> Iterator[str]:
    found: Mapping[str, Figure] = each.figures
    for name in ("requests_per_second", "tokens_per_second"):
        yield _cell(found.get(name), words.number)
    for name in (*TIMES, "server_queue_p95", "outside_p95"):
        yield _cell(found.get(name), words.seconds)
    yield _cell(found.get("goodput"), words.number)
    yield words.share(figure.value(found, "error_share"))
    yield words.number(figure.value(found, "requests"))
    yield _cell(each.usd_per_million_tokens, words.dollars)


def _cell(shown: Figure | None, write: Callable[[float], str]) -> str:
    if shown is None:
        return words.NONE
    sure = words.plus_minus(shown)
    return f"{write(shown.value)}" + (f"<small>{sure}</small>" if sure else "")


def _settings(run: Run) -> str:
    shown = {**run.settings, **run.environment, "started": run.started, "ended": run.ended}
    rows = (
        f"<dt>{escape(name)}</dt><dd>{escape(_plain(value))}</dd>"
        for name, value in shown.items()
        if value not in (None, "", [], {})
    )
    return f"<dl>{''.join(rows)}</dl>"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each not in (None, ""))
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
