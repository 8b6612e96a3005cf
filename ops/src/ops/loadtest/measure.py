"""One run from its options to its report: it owns the run, and writes it whenever there is more to keep."""

import asyncio
import os
import platform
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from ops.cloudrun.prices import PriceUnknown
from ops.loadtest import conclusion, lengths, limits, local, money, run, stopping, words, workload
from ops.loadtest.conclusion import Conclusion, Rule
from ops.loadtest.credentials import Credentials
from ops.loadtest.errors import InputError, LoadTestError
from ops.loadtest.limits import Limit
from ops.loadtest.options import Goal, Options
from ops.loadtest.progress import Display, row_of, table
from ops.loadtest.run import Run
from ops.loadtest.sweep import Sweep
from ops.loadtest.wire import Api
from ops.loadtest.workload import Workload

RUN_FILE = "run.json"
# Options that the figures do not depend on, and those that `_settings` writes in another form.
NOT_MEASURED = {"url", "up", "concurrency", "rates", "prompts", "token_env", "token_file", "token_command"}
NOT_MEASURED |= {"label", "out"}


def measure(options: Options, goal: Goal, console: Console) -> int:
    """Measure, choose, write; returns the exit status."""
    _check(options)
    salt = secrets.token_hex(4)
    work = _workload(options, salt)
    service = local.read(options.up) if options.up else None
    priced = local.read(goal.service) if goal.service else service
    price = _price(priced, goal.usd_per_hour)
    done = Run(settings=_settings(options), environment=_environment(), label=options.label, salt=salt)
    rule = Rule(goal.model_instances, goal.batch)
    file = options.out / RUN_FILE
    with Display(console, options, goal.limits) as display:
        display.line(_headline(options), "bold")
        sweep = Sweep(
            done,
            options,
            work,
            rule=rule,
            credentials=Credentials(options.token_env, options.token_file, options.token_command),
            watcher=display,
            save=lambda: run.write(file, done.as_json()),
            service=service,
        )
        failure = asyncio.run(_run_to_end(sweep))
    if failure is not None and not any(step.repetitions for step in done.steps):
        raise failure  # nothing was measured: there is nothing to write
    if isinstance(failure, stopping.Stopped):
        failure = stopping.Stopped(f"interrupted; what was measured is kept in {options.out}")
    done.ended, done.failure = run.now(), None if failure is None else str(failure)
    found = _finish(done, goal.limits, rule, price, file, console)
    if failure is not None:
        raise failure
    return 0 if found.choice.chosen else 1


async def _run_to_end(sweep: Sweep) -> LoadTestError | None:
    """Run the sweep; returns why it ended before its time."""
    try:
        await stopping.until_stopped(sweep.main())
    except LoadTestError as error:
        return error
    return None


def _finish(
    done: Run, wanted: tuple[Limit, ...], rule: Rule, price: float | None, file: Path, console: Console
) -> Conclusion:
    """Work out the conclusion, write everything, and show it."""
    from ops.loadtest.report import page  # noqa: PLC0415 — matplotlib takes half a second

    found = conclusion.conclude(done, wanted, rule, price)
    run.write(file, conclusion.file_of(done, wanted, found))
    page.write(file.parent, done, wanted, found)
    known = {(each.parallel, each.load): each.figures for each in found.measured}
    if found.measured:
        console.print(table([row_of(step, known.get(step.key, {})) for step in done.steps]))
    for line in page.summary(done, wanted, found):
        console.print(line, markup=False, soft_wrap=True)
    console.print(f"report: {file.parent / page.FILE}", markup=False, soft_wrap=True)
    return found


def report_again(source: Path, out: Path, goal: Goal, console: Console) -> int:
    """Write the report of a run's file with the limits and prices of today; returns the exit status."""
    done, before = run.read(source)
    wanted = goal.limits if goal.slo else before.limits or limits.with_default(())
    price = _price(local.read(goal.service) if goal.service else None, goal.usd_per_hour)
    if price is None and goal.service is None:
        price = before.usd_per_second
    file = out / source.name
    for other in (out / RUN_FILE, file):
        if other.exists() and run.read(other)[0].as_json() != done.as_json():
            raise InputError(f"{other}: is another run, whose report this one would replace; choose another --out")
    rule = Rule(goal.model_instances, goal.batch)
    return 0 if _finish(done, wanted, rule, price, file, console).choice.chosen else 1


def _price(service: local.LocalService | None, given: float | None) -> float | None:
    """Return one instance's price per second; None where it is not known, with a warning where a file should say it."""
    try:
        return money.usd_per_second(service.document if service else None, given)
    except PriceUnknown as error:
        where = service.path if service else ""
        sys.stderr.write(f"ops loadtest: {where}: the price is not known: {error}; give it with --usd-per-hour\n")
        return None


def _check(options: Options) -> None:
    """Complain before anything starts."""
    if options.url is None and options.up is None:
        raise InputError("which service? Give its URL, or --up FILE to run one here")
    if options.url and options.up:
        raise InputError("URL and --up: give one of them")
    if options.url and len(options.parallel) > 1:
        raise InputError(
            "--parallel takes several values only with --up: a service elsewhere is not restarted from here"
        )
    if options.url and (options.variables or options.up_options):
        raise InputError("--set and --up-options are for a service that --up starts here")
    given = [each for each in (options.token_env, options.token_file, options.token_command) if each is not None]
    if len(given) > 1:
        raise InputError("--token-env, --token-file and --token-command: give one of them")
    if any(name == local.PARALLEL for name, _ in options.variables):
        raise InputError(f"--set {local.PARALLEL}: use --parallel, which the agent gets too")
    if (file := options.out / RUN_FILE).exists():
        raise InputError(f"{file}: is there already; choose another --out")


def _workload(options: Options, salt: str) -> Workload:
    """Return what is sent."""
    prompt, answer = lengths.parse(options.prompt_tokens), lengths.parse(options.answer_tokens)
    if options.prompts is None:
        return workload.Synthetic(prompt, answer, options.shared_prefix, options.seed, salt)
    if answer.kind != "fixed":
        raise InputError(
            f"--answer-tokens {options.answer_tokens}: with --prompts give a number; a line may have its own max_tokens"
        )
    return workload.Replay(
        workload.read(options.prompts, round(answer.first), native=options.api is Api.NATIVE), options.seed
    )


def _settings(options: Options) -> dict[str, Any]:
    """Return every choice that the figures depend on; files stand there by the checksum of their content."""
    kept = {name: value for name, value in asdict(options).items() if name not in NOT_MEASURED}
    return {
        "target": options.target,
        "local": options.up is not None,
        "service_sha256": local.sha256(options.up),
        "loop": options.loop,
        "levels": options.levels,
        "prompts_sha256": local.sha256(options.prompts),
    } | kept


def _environment() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _headline(options: Options) -> str:
    where = f"{options.up} on this machine" if options.up else options.target
    steps = len(options.levels) * max(1, len(options.parallel))
    seconds = (options.warmup + options.duration) * options.repetitions * steps
    about = f"{words.number(seconds / 60)} min" if seconds >= 60 else f"{seconds:.0f} s"  # noqa: PLR2004 — a minute
    each = f"{words.plural(steps, 'step')} of {options.repetitions} × {options.duration:g} s"
    return f"{where}: {options.loop} loop, {each}, {about} or more"
