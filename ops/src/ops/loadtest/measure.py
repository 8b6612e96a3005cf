"""One run from its options to its report: it owns the run, and writes it whenever there is more to keep."""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import sys
from typing import TYPE_CHECKING, Any

from ops.cloudrun.prices import PriceUnknown
from ops.loadtest import conclusion, lengths, limits, local, money, run, settings, stopping, words, workload
from ops.loadtest.conclusion import Rule
from ops.loadtest.credentials import Credentials
from ops.loadtest.errors import InputError, LoadTestError, LocalError
from ops.loadtest.progress import Display, row_of, table
from ops.loadtest.settings import Settings
from ops.loadtest.sweep import Sweep

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from ops.loadtest.conclusion import Conclusion
    from ops.loadtest.limits import Limit
    from ops.loadtest.options import Options
    from ops.loadtest.run import Run
    from ops.loadtest.step import Repetition
    from ops.loadtest.workload import Workload

RUN_FILE = "run.json"


def measure(options: Options, console: Console) -> int:
    """Measure, choose, write; returns the exit status."""
    _check(options)
    salt = secrets.token_hex(4)
    asked, work = _workload(options, salt)
    file = options.service or options.up
    document = local.read(file) if file else None
    chosen = _settings(options, asked)
    begun = _resumed(options.resume, chosen) if options.resume else _new(options, chosen)
    begun.salts.append(salt)
    price = _price(file, document, options.usd_per_hour)
    keeper = _Keeper(begun, options, price)
    with Display(console, chosen, options.limits) as display:
        display.line(_headline(options, chosen), "bold")
        sweep = Sweep(
            begun,
            chosen,
            work,
            rule=Rule(options.models, options.batch),
            credentials=Credentials(options.token_env, options.token_file, options.token_command),
            watcher=display,
            save=keeper.save,
            service=(options.up, options.up_options) if options.up else None,
        )
        failure = asyncio.run(_run_to_end(sweep))
    if failure is not None and not keeper.has_more:
        raise failure  # a file that says nothing more than before is not written
    if isinstance(failure, stopping.Stopped):
        failure = stopping.Stopped(
            f"interrupted; what was measured is kept, and ops loadtest run --resume {keeper.file} goes on from there"
        )
    begun.ended, begun.failure = run.now(), None if failure is None else str(failure)
    if not isinstance(failure, LocalError):
        begun.notes += _changed(options, chosen)
    found = keeper.finish(console)
    if failure is not None:
        raise failure
    return 0 if found.choice.chosen else 1


def _changed(options: Options, chosen: Settings) -> list[str]:
    """Say so where the service's file is no longer what was measured."""
    if options.up is None or local.sha256(options.up) == chosen.service_sha256:
        return []
    note = f"{options.up} was changed during the run: what was measured is the service as it was at the begin"
    sys.stderr.write(f"ops loadtest run: {note}\n")
    return [note]


async def _run_to_end(sweep: Sweep) -> LoadTestError | None:
    """Run the sweep; returns why it ended before its time."""
    try:
        await stopping.until_stopped(sweep.main())
    except LoadTestError as error:
        return error
    return None


class _Keeper:
    """The run's files."""

    def __init__(self, begun: Run, options: Options, price: float | None) -> None:
        self._run = begun
        self._limits = options.limits
        self._rule = Rule(options.models, options.batch)
        self._price = price
        self.file = _file(options)
        self._before = self._measured()

    @property
    def has_more(self) -> bool:
        """Whether anything was measured since the begin."""
        return self._measured() != self._before

    def _measured(self) -> tuple[tuple[Repetition, ...], ...]:
        return tuple(tuple(each.repetitions) for each in self._run.steps)

    def save(self) -> None:
        """Write what there is so far."""
        run.write(self.file, self._run.as_json())

    def finish(self, console: Console) -> Conclusion:
        """Work out the conclusion, write everything, and show it."""
        return _finish(self._run, self._limits, self._rule, self._price, self.file, console)


def _finish(
    done: Run, wanted: tuple[Limit, ...], rule: Rule, price: float | None, file: Path, console: Console
) -> Conclusion:
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


def report_again(arguments: argparse.Namespace, console: Console) -> int:
    """Write the report of a run's file with the limits and prices of today; returns the exit status."""
    done, before = run.read(arguments.run_file)
    wanted = limits.with_default(arguments.slo) if arguments.slo else before.limits or limits.with_default(())
    document = local.read(arguments.service) if arguments.service else None
    price = _price(arguments.service, document, arguments.usd_per_hour)
    if price is None and document is None:
        price = before.usd_per_second
    out = arguments.out or arguments.run_file.parent
    file = out / arguments.run_file.name
    for other in (out / RUN_FILE, file):
        if other.exists() and run.read(other)[0].as_json() != done.as_json():
            raise InputError(f"{other}: is another run, whose report this one would replace; choose another --out")
    rule = Rule(arguments.model_instances, arguments.batch)
    return 0 if _finish(done, wanted, rule, price, file, console).choice.chosen else 1


def _price(file: Path | None, document: Mapping[str, Any] | None, given: float | None) -> float | None:
    """Return one instance's price a second; None where there is none, which is said where a file should tell it."""
    try:
        return money.usd_per_second(document, given)
    except PriceUnknown as error:
        sys.stderr.write(f"ops loadtest: {file}: no price is worked out: {error}; give yours with --usd-per-hour\n")
        return None


def _check(options: Options) -> None:
    """Complain before anything starts."""
    if options.url is None and options.up is None:
        raise InputError("which service? Give its URL, or --up FILE to run one here; --resume FILE goes on with a run")
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
        raise InputError(f"--set {local.PARALLEL}: use --parallel, which the agent is told too")
    for other in (options.out / RUN_FILE, _file(options)):
        if other.exists() and (options.resume is None or other.resolve() != options.resume.resolve()):
            raise InputError(f"{other}: is there already; go on with it by --resume, or choose another --out")


def _file(options: Options) -> Path:
    """Return the run's file: one that is resumed keeps its name."""
    return options.out / (options.resume.name if options.resume else RUN_FILE)


def _workload(options: Options, salt: str) -> tuple[str | None, Workload]:
    """Return what is asked, and the checksum of its file."""
    if options.prompts is None:
        prompt, answer = lengths.parse(options.prompt_tokens), lengths.parse(options.answer_tokens)
        return None, workload.Synthetic(prompt, answer, options.shared_prefix, options.seed, salt)
    answer = lengths.parse(options.answer_tokens)
    if answer.kind != "fixed":
        raise InputError(
            f"--answer-tokens {options.answer_tokens}: with --prompts give a number; a line may have its own max_tokens"
        )
    requests = workload.read(options.prompts, round(answer.first))
    return local.sha256(options.prompts), workload.Replay(requests, options.seed)


def _settings(options: Options, checksum: str | None) -> Settings:
    return Settings(
        target=options.url or str(options.up),
        local=options.up is not None,
        service_sha256=local.sha256(options.up) if options.up else None,
        up_options=options.up_options,
        api=options.api,
        model=options.model,
        loop=options.loop,
        levels=options.levels,
        parallel=options.parallel,
        variables=dict(options.variables),
        arrivals=options.arrivals,
        prompt_tokens=options.prompt_tokens,
        answer_tokens=options.answer_tokens,
        shared_prefix=options.shared_prefix,
        prompts_sha256=checksum,
        seed=options.seed,
        temperature=options.temperature,
        warmup=options.warmup,
        duration=options.duration,
        repetitions=options.repetitions,
        timeout=options.timeout,
    )


def _new(options: Options, chosen: Settings) -> Run:
    return run.Run(chosen.as_json(), _environment(), options.label, options=list(options.words))


def _resumed(path: Path, chosen: Settings) -> Run:
    begun, _ = run.read(path)
    if differ := settings.differing(chosen.as_json(), begun.settings):
        raise InputError(
            f"--resume {path}: that run was of other settings ({'; '.join(differ)}); give the same, or start anew"
        )
    begun.failure = begun.ended = None
    return begun


def _environment() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _headline(options: Options, chosen: Settings) -> str:
    where = f"{options.up} on this machine" if options.up else str(options.url)
    steps = len(chosen.levels) * max(1, len(chosen.parallel))
    seconds = (chosen.warmup + chosen.duration) * chosen.repetitions * steps
    about = f"{words.number(seconds / 60)} min" if seconds >= 60 else f"{seconds:.0f} s"  # noqa: PLR2004 — a minute
    each = f"{words.plural(steps, 'step')} of {chosen.repetitions} × {chosen.duration:g} s"
    return f"{where}: {chosen.loop} loop, {each}, {about} or more"
