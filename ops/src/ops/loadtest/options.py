"""The options of `ops loadtest`: each stands here once."""

from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Group

from ops import cli
from ops.cli import number, option, repeated, whole
from ops.loadtest import limits, readers
from ops.loadtest.limits import Limit
from ops.loadtest.loads import Arrivals, Load, Loop
from ops.loadtest.wire import Api

# containerConcurrency and a sensible number of slots end here (Cloud Run: 1 to 1000).
MOST = 1000
SERVICE, SWEEP, REQUESTS, CHOICE, TOKEN, FILES = (
    Group.create_ordered(name)
    for name in ("Service", "Sweep", "Requests", "Choice", "Token (never on the command line)", "Files")
)
LENGTH = "TOKENS, uniform:LOW,HIGH, normal:MEAN,DEVIATION or lognormal:MEDIAN,SIGMA"


def new_folder() -> Path:
    """Return a name for the folder of a run that begins now."""
    return Path(f"loadtest-{datetime.now().astimezone():%Y%m%d-%H%M%S}")


@cli.options
@dataclass(frozen=True, slots=True)
class Options:
    """What a run measures, and where it is kept. Times are seconds, money US dollars."""

    url: Annotated[
        str | None,
        option("Service that runs already: https://NAME.run.app.", readers.url, group=SERVICE, metavar="URL"),
    ] = None
    _: KW_ONLY
    up: Annotated[
        Path | None,
        option("service.yaml that `ops up` runs here, once for each --parallel.", group=SERVICE, metavar="FILE"),
    ] = None
    up_options: Annotated[
        tuple[str, ...],
        option(
            "Options for `ops up`: --up-options=--standin.",
            readers.words,
            group=SERVICE,
            metavar="TEXT",
            allow_leading_hyphen=True,
        ),
    ] = ()
    variables: Annotated[
        tuple[tuple[str, str], ...],
        repeated(
            "Variable of Ollama's, with --up; repeatable.",
            readers.variable,
            name="--set",
            group=SERVICE,
            metavar="NAME=VALUE",
        ),
    ] = ()
    model: Annotated[
        str | None, option("Model to ask for (default: the only one there).", group=SERVICE, metavar="NAME")
    ] = None
    api: Annotated[Api, option("Route: /api/chat or /v1/chat/completions.", group=SERVICE, metavar="API")] = Api.NATIVE

    concurrency: Annotated[
        tuple[int, ...],
        option("Closed loop: requests at once.", readers.several(whole(1, MOST)), group=SWEEP, metavar="N,N"),
    ] = (1, 2, 4, 8)
    rates: Annotated[
        tuple[float, ...],
        option(
            "Open loop instead: requests per second, whatever the service does.",
            readers.several(number(0.001, 10_000)),
            group=SWEEP,
            metavar="R,R",
        ),
    ] = ()
    arrivals: Annotated[Arrivals, option("Arrivals in an open loop.", group=SWEEP, metavar="KIND")] = Arrivals.POISSON
    parallel: Annotated[
        tuple[int, ...],
        option(
            "OLLAMA_NUM_PARALLEL: values to try with --up; the service's own value with URL.",
            readers.several(whole(1, MOST)),
            group=SWEEP,
            metavar="N,N",
        ),
    ] = ()
    duration: Annotated[
        float, option("Measured time of a repetition, in seconds.", limits.duration, group=SWEEP, metavar="TIME")
    ] = 30.0
    warmup: Annotated[
        float, option("Time before it that is discarded, in seconds.", readers.time, group=SWEEP, metavar="TIME")
    ] = 5.0
    repetitions: Annotated[int, option("Repetitions of each step.", whole(1, MOST), group=SWEEP, metavar="N")] = 3
    timeout: Annotated[
        float, option("Limit for a whole answer, in seconds.", limits.duration, group=SWEEP, metavar="TIME")
    ] = 300.0

    prompt_tokens: Annotated[
        str, option(f"Tokens per prompt: {LENGTH}.", readers.length, group=REQUESTS, metavar="LENGTH")
    ] = "128"
    answer_tokens: Annotated[
        str, option("Tokens per answer, at most.", readers.length, group=REQUESTS, metavar="LENGTH")
    ] = "64"
    shared_prefix: Annotated[
        float,
        option("Share of each prompt that is the same for all, 0 to 1.", number(0, 1), group=REQUESTS, metavar="SHARE"),
    ] = 0.0
    prompts: Annotated[
        Path | None,
        option(
            'File of JSON lines to send instead: "prompt", "messages" or "conversations".',
            group=REQUESTS,
            metavar="FILE",
        ),
    ] = None
    seed: Annotated[int, option("Seed of prompts, lengths, arrivals and sampling.", group=REQUESTS, metavar="N")] = 1
    temperature: Annotated[
        float, option("Sampling temperature, 0 to 2.", number(0, 2), group=REQUESTS, metavar="T")
    ] = 0.0

    token_env: Annotated[
        str | None, option("Variable that holds the identity token or key.", group=TOKEN, metavar="NAME")
    ] = None
    token_file: Annotated[Path | None, option("File that holds it.", group=TOKEN, metavar="FILE")] = None
    token_command: Annotated[
        str | None,
        option(
            "Command that prints it, run before each repetition: 'gcloud auth print-identity-token'.",
            group=TOKEN,
            metavar="COMMAND",
        ),
    ] = None

    label: Annotated[str, option("Name of the run in the report.", group=FILES, metavar="TEXT")] = ""
    out: Annotated[
        Path,
        option(
            "Folder for run.json, report.html and plots (default loadtest-DATE).",
            group=FILES,
            metavar="FOLDER",
            show_default=False,
        ),
    ] = field(default_factory=new_folder)

    @property
    def target(self) -> str:
        """The service's address, or its file."""
        return self.url or str(self.up)

    @property
    def loop(self) -> Loop:
        """Which loop the rates or the numbers at once ask for."""
        return Loop.OPEN if self.rates else Loop.CLOSED

    @property
    def levels(self) -> tuple[float, ...]:
        """The loads to try, ascending."""
        return self.rates or tuple(map(float, self.concurrency))

    def loads(self, also: int | None) -> list[Load]:
        """Return the loads of one number of slots, ascending, and the rule of thumb's, `also`: a closed one."""
        loads = {Load(self.loop, level) for level in self.levels}
        rule = set() if also is None else {Load(Loop.CLOSED, float(also))}
        return sorted(loads | rule) if self.loop is Loop.CLOSED else sorted(loads) + sorted(rule)


@cli.options
@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a choice must hold, and what an instance costs."""

    slo: Annotated[
        tuple[Limit, ...],
        repeated(
            "Limit: ttft_p95=2s (ttft, tpot or e2e; p50, p90, p95 or p99) or errors=1%; repeatable.",
            limits.parse,
            group=CHOICE,
            metavar="LIMIT",
        ),
    ] = ()
    model_instances: Annotated[
        int, option("Models loaded at once, for the rule of thumb.", whole(1, MOST), group=CHOICE, metavar="N")
    ] = 1
    batch: Annotated[
        int | None,
        option("Ideal batch, for the rule of thumb (default: the slots).", whole(1, MOST), group=CHOICE, metavar="N"),
    ] = None
    usd_per_hour: Annotated[
        float | None,
        option(
            "Price of an instance, US$ per hour (default: the list price of the service's YAML).",
            number(0.000001, 1e6),
            group=CHOICE,
            metavar="USD",
        ),
    ] = None
    service: Annotated[
        Path | None, option("service.yaml for the price (default: that of --up).", group=CHOICE, metavar="FILE")
    ] = None

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits, with the one on errors where none is given."""
        return limits.with_default(self.slo)
