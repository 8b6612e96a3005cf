"""The command line of `ops loadtest`, as a frozen dataclass."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ops.loadtest import limits, parsers
from ops.loadtest.arrivals import Arrivals
from ops.loadtest.loads import Loop
from ops.loadtest.wire import Api

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ops.loadtest.limits import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the operator asked for. Times in seconds, money in US dollars."""

    url: str | None
    up: Path | None
    up_options: tuple[str, ...]
    api: Api
    model: str | None
    loop: Loop
    levels: tuple[float, ...]
    parallel: tuple[int, ...]
    variables: tuple[tuple[str, str], ...]
    arrivals: Arrivals
    prompt_tokens: str
    answer_tokens: str
    shared_prefix: float
    prompts: Path | None
    seed: int
    temperature: float
    warmup: float
    duration: float
    repetitions: int
    timeout: float
    limits: tuple[Limit, ...]
    models: int
    batch: int | None
    usd_per_hour: float | None
    service: Path | None
    token_env: str | None
    token_file: Path | None
    token_command: str | None
    label: str
    out: Path
    resume: Path | None
    words: tuple[str, ...]
    """What the command line said, but for what `add_passing_arguments` declares; it is kept in the run's file."""


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `ops loadtest run` takes."""
    what = parser.add_argument_group("what is driven")
    where = what.add_mutually_exclusive_group().add_argument
    where("url", nargs="?", type=parsers.url, metavar="URL", help="a service that runs, such as https://NAME.run.app")
    where("--up", type=Path, metavar="FILE", help="run this service.yaml here by `ops up`, once for each --parallel")
    add = what.add_argument
    add("--up-options", type=shlex.split, default=[], metavar="TEXT", help="for `ops up`, as --up-options=--standin")
    add(
        "--set",
        type=parsers.variable,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="with --up: a variable of Ollama's",
    )
    add("--model", metavar="NAME", help="the model to ask for (default: the only one that is there)")
    add(
        "--api", type=Api, choices=list(Api), default=Api.NATIVE, help="/api/chat or /v1/chat/completions (%(default)s)"
    )
    load = parser.add_argument_group("the sweep")
    level = load.add_mutually_exclusive_group().add_argument
    level("--concurrency", type=parsers.wholes, metavar="N,N", help="closed loop: requests at once (1,2,4,8)")
    level("--rates", type=parsers.rates, metavar="R,R", help="open loop: requests a second, whatever the service does")
    add = load.add_argument
    slots = "OLLAMA_NUM_PARALLEL: with --up each is tried; with URL the service's own, for the rule of thumb"
    add("--parallel", type=parsers.wholes, default=(), metavar="N,N", help=slots)
    add("--arrivals", type=Arrivals, choices=list(Arrivals), default=Arrivals.POISSON, help="open loop (%(default)s)")
    add("--duration", type=parsers.seconds, default=30.0, metavar="TIME", help="measured, of each repetition (30s)")
    add("--warmup", type=parsers.seconds_or_0, default=5.0, metavar="TIME", help="before that, discarded (5s)")
    add("--repetitions", type=parsers.whole, default=3, metavar="N", help="of each step (%(default)s)")
    add(
        "--timeout",
        type=parsers.seconds,
        default=300.0,
        metavar="TIME",
        help="for a whole answer (300s, Cloud Run's default)",
    )
    ask = parser.add_argument_group("what is asked").add_argument
    forms = "TOKENS, uniform:LOW,HIGH, normal:MEAN,DEVIATION or lognormal:MEDIAN,SIGMA (%(default)s)"
    ask("--prompt-tokens", type=parsers.length, default="128", metavar="LENGTH", help=forms)
    ask(
        "--answer-tokens",
        type=parsers.length,
        default="64",
        metavar="LENGTH",
        help="the most of each answer (%(default)s)",
    )
    ask(
        "--shared-prefix",
        type=parsers.share,
        default=0.0,
        metavar="SHARE",
        help="of each prompt, the same for all, 0 to 1 (0)",
    )
    ask("--prompts", type=Path, metavar="FILE", help='replay JSON lines: {"prompt": TEXT} or {"messages": [...]}')
    ask("--seed", type=int, default=1, metavar="N", help="of prompts, lengths, arrivals and sampling (%(default)s)")
    ask("--temperature", type=parsers.temperature, default=0.0, metavar="T", help="(0)")
    _add_choice(parser)
    parser.add_argument_group("what is kept").add_argument(
        "--label", default="", metavar="TEXT", help="a name for the run, in the report"
    )
    add_passing_arguments(parser)


def add_passing_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a run takes that does not belong to it: it may differ when the run is resumed, and is not kept."""
    add = parser.add_argument_group("of this command alone").add_argument
    add("--token-env", metavar="NAME", help="the variable that holds an identity token or key")
    add("--token-file", type=Path, metavar="FILE", help="the file that holds it")
    add(
        "--token-command",
        metavar="COMMAND",
        help="prints it, as 'gcloud auth print-identity-token'; asked anew each time",
    )
    add("--out", type=Path, metavar="FOLDER", help="for run.json, report.html and plots (default: loadtest-DATE)")
    resumed = "go on with this run.json, where it stopped, with the options that it keeps; no other is needed"
    add("--resume", type=Path, metavar="FILE", help=resumed)


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `ops loadtest report` takes beside the run's file."""
    _add_choice(parser)
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the report (default: the run's own folder)")


def _add_choice(parser: argparse.ArgumentParser) -> None:
    goal = parser.add_argument_group("the choice").add_argument
    slo = "ttft_p95=2s (ttft, tpot, e2e; p50, p90, p95, p99) or errors=1%%; may be repeated"
    goal("--slo", type=parsers.limit, action="append", default=[], metavar="LIMIT", help=slo)
    goal("--model-instances", type=parsers.whole, default=1, metavar="N", help="for the rule of thumb (%(default)s)")
    goal("--batch", type=parsers.whole, metavar="N", help="the ideal batch, for the rule of thumb (default: the slots)")
    goal(
        "--usd-per-hour",
        type=parsers.money,
        metavar="USD",
        help="of one instance (default: list prices of the service's YAML)",
    )
    goal("--service", type=Path, metavar="FILE", help="the service.yaml, for the price (default: that of --up)")


def from_arguments(arguments: argparse.Namespace, words: Sequence[str] = ()) -> Options:
    """Turn parsed arguments into options; `words` are those to keep."""
    is_open = arguments.rates is not None
    out = arguments.out or (arguments.resume.parent if arguments.resume else None)
    return Options(
        url=arguments.url,
        up=arguments.up,
        up_options=tuple(arguments.up_options),
        api=arguments.api,
        model=arguments.model,
        loop=Loop.OPEN if is_open else Loop.CLOSED,
        levels=tuple(arguments.rates if is_open else map(float, arguments.concurrency or (1, 2, 4, 8))),
        parallel=tuple(arguments.parallel),
        variables=tuple(arguments.set),
        arrivals=arguments.arrivals,
        prompt_tokens=arguments.prompt_tokens,
        answer_tokens=arguments.answer_tokens,
        shared_prefix=arguments.shared_prefix,
        prompts=arguments.prompts,
        seed=arguments.seed,
        temperature=arguments.temperature,
        warmup=arguments.warmup,
        duration=arguments.duration,
        repetitions=arguments.repetitions,
        timeout=arguments.timeout,
        limits=limits.with_default(arguments.slo),
        models=arguments.model_instances,
        batch=arguments.batch,
        usd_per_hour=arguments.usd_per_hour,
        service=arguments.service,
        token_env=arguments.token_env,
        token_file=arguments.token_file,
        token_command=arguments.token_command,
        label=arguments.label,
        out=out or Path(f"loadtest-{datetime.now().astimezone():%Y%m%d-%H%M%S}"),
        resume=arguments.resume,
        words=tuple(words),
    )
