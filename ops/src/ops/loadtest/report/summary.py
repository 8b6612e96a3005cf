"""The run in plain words, the answer first. Pure."""

from collections.abc import Iterator, Sequence

from ops.cloudrun.scaling import TARGET
from ops.loadtest import figure, words
from ops.loadtest.conclusion import ByRule, Conclusion
from ops.loadtest.knee import Measured
from ops.loadtest.limits import Limit
from ops.loadtest.loads import Loop
from ops.loadtest.run import Run

# Requests below which a 99th percentile is just the slowest one.
ENOUGH = 100
# Requests below which even a 95th percentile is just the slowest one: nothing is recommended on them.
LEAST = 20
# The tester's own delay in sending, 99th percentile, above which it is reported.
LATE_SECONDS = 0.01


def lines(run: Run, limits: Sequence[Limit], found: Conclusion) -> list[str]:
    """Return the summary, a paragraph a line."""
    if run.failure:
        return [f"The run was broken off: {run.failure}.", *_body(run, limits, found)]
    return list(_body(run, limits, found))


def _body(run: Run, limits: Sequence[Limit], found: Conclusion) -> Iterator[str]:
    chosen = found.choice.chosen
    if chosen is None:
        yield f"No choice: {found.choice.reason}."
    else:
        slots = "" if chosen.parallel is None else f" and OLLAMA_NUM_PARALLEL to {chosen.parallel}"
        requests = int(figure.value(chosen.figures, "requests") or 0)
        if requests < LEAST:
            little = f"Too little was measured to choose ({words.plural(requests, 'request')}). So far the best:"
            yield f"{little} containerConcurrency {chosen.concurrency}{slots.replace(' to', '')}."
        else:
            yield f"Set containerConcurrency to {chosen.concurrency}{slots}."
        if chosen.load.loop is Loop.OPEN:
            yield f"Found at {chosen.load}, with {chosen.concurrency} in the instance at once (95th percentile)."
        yield f"There {_measured(chosen)}."
        yield from _scaled(chosen)
        yield f"Why: {found.choice.reason}."
    yield "Limits: " + (", ".join(limit.text for limit in limits) or "none") + "."
    for rule in found.rules:
        if chosen is None or rule.parallel == chosen.parallel:
            yield _rule(rule, chosen)
    if not any(limit.latency for limit in limits):
        yield "Caution: no limit on a latency was given (--slo ttft_p95=2s), so throughput alone decided."
    yield from _cautions(run, found)


def _measured(each: Measured) -> str:
    sure = words.plus_minus(each.figures.get("tokens_per_second")) or "no interval"
    tokens, requests, began, whole = (
        figure.value(each.figures, name) for name in ("tokens_per_second", "requests_per_second", "ttft_p95", "e2e_p95")
    )
    text = (
        f"it made {words.number(tokens)} tokens a second ({sure}), {words.number(requests)} requests a second; 95 % of "
        f"the answers began within {words.seconds(began)} and were whole within {words.seconds(whole)}"
    )
    price = each.usd_per_million_tokens
    return (
        text
        if price is None
        else f"{text}; at this load without a pause a million output tokens cost {words.dollars(price.value)}"
    )


def _scaled(chosen: Measured) -> Iterator[str]:
    mean = figure.value(chosen.figures, "in_flight_mean")
    if mean is None:
        return
    held = TARGET * chosen.concurrency
    less = (
        "; with more than one instance each then makes less than this, and its tokens cost more" if mean > held else ""
    )
    yield (
        f"On average {words.number(mean)} requests were in the instance at once. Cloud Run adds instances so that each "
        f"keeps near {TARGET:.0%} of containerConcurrency, here {words.number(held)}{less}."
    )


def _rule(rule: ByRule, chosen: Measured | None) -> str:
    start = f"The rule of thumb for {words.plural(rule.parallel, 'slot')} gives {rule.value} ({rule.words})"
    if rule.measured is None:
        return f"{start}; nothing was measured at that load."
    if chosen is not None and rule.measured.load == chosen.load and rule.measured.parallel == chosen.parallel:
        return f"{start}: the measured choice is the same."
    return f"{start}: there {_measured(rule.measured)}."


def _cautions(run: Run, found: Conclusion) -> Iterator[str]:
    yield from (f"Caution: {note}." for note in run.notes)
    skipped = sum(step.skipped is not None for step in run.steps)
    if skipped:
        yield f"{words.plural(skipped, 'step')} not run: the loads below them were past saturation already."
    chosen = found.choice.chosen
    requests = chosen and figure.value(chosen.figures, "requests")
    if requests and LEAST <= requests < ENOUGH:
        yield f"Caution: the choice rests on {requests:.0f} requests; its 99th percentiles are the slowest one's."
    unmeasured = sum(step.skipped is None and not step.repetitions for step in run.steps)
    if unmeasured:
        yield f"Caution: {words.plural(unmeasured, 'step')} of {len(run.steps)} not measured: the best may be there."
    if run.settings.get("local") and found.usd_per_second is not None:
        yield (
            "Caution: the dollars are Cloud Run's list price for the service's hardware over what this machine made: "
            "they compare the loads, and are not what a token costs there."
        )
    late = max((figure.value(each.figures, "late_p99") or 0.0 for each in found.measured), default=0.0)
    if late > LATE_SECONDS:
        yield (
            f"Caution: the tester itself sent up to {words.seconds(late)} late (99th percentile), which the latencies "
            "hold, too: use a faster machine for it."
        )
