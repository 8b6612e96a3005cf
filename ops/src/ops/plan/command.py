"""`ops plan`: reads the model and the service, plans, prints, and writes what was planned."""

import json
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from rich.console import Console

from ops import yaml_edit
from ops.cli import option
from ops.cloudrun.prices import Prices, list_prices
from ops.console import standard_output
from ops.plan import planning, question, table
from ops.plan.asked import Source
from ops.plan.document import document
from ops.plan.errors import PlanError, PlanRefused, SourceError
from ops.plan.options import Options
from ops.plan.planning import Plan
from ops.plan.service import Service
from ops.plan.settings import Setting, settings
from probe_agent.ollama.names import same_model

FITS, DOES_NOT_FIT = 0, 1
# A shell's status for a program that SIGINT ended.
INTERRUPTED = 130


def run(
    model: Annotated[str, option("GGUF file, or a model of the local Ollama store.", metavar="MODEL")],
    /,
    given: Options = Options(),  # noqa: B008 — it is frozen
) -> int:
    """Plan a service before it is deployed: memory, concurrency, the startup probe, cost, settings.

    Exit status: 0 it fits, 1 it does not or something cannot be read, 2 the options do not go together.
    """
    return answer(model, given, standard_output())


def answer(model: str, arguments: Options, console: Console) -> int:
    """Plan and print; returns the exit status."""
    try:
        opened = _Opened(arguments.write) if arguments.write else None
        note = opened.other_than(model) if opened else ""
        asked = question.asked(model, arguments, opened.service.given if opened else None)
        plan = planning.plan(asked, _prices(arguments.gpu_price, asked.device.name))
        changes = opened.put(settings(plan)) if opened and plan.has_room else []
    except PlanError as error:
        sys.stderr.write(f"ops plan: {error}\n")
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("ops plan: interrupted; nothing was written\n")
        return INTERRUPTED
    with suppress(BrokenPipeError):  # a reader that has seen enough, such as `head`
        _show(arguments, plan, changes, console)
    if note:
        sys.stderr.write(f"ops plan: {note}\n")
    if opened and not plan.has_room:
        sys.stderr.write(f"ops plan: {arguments.write}: not written, because the plan does not fit; see what would\n")
    return FITS if plan.has_room else DOES_NOT_FIT


def _show(arguments: Options, plan: Plan, changes: list[str], console: Console) -> None:
    if arguments.format == "json":
        shown = {**document(plan), "changes": changes} if arguments.write else document(plan)
        console.out(json.dumps(shown, indent=2, ensure_ascii=False), highlight=False)
        return
    console.print(table.picture(plan))
    if arguments.write and plan.has_room:
        lines = [f"{arguments.write}: {len(changes)} changed", *changes]
        if changes:
            lines.append("Comments stay as they were: change those that explain the old numbers. Then:")
        for line in [*lines, f"ops lint {arguments.write}"]:
            console.print(line, soft_wrap=True, markup=False)


def _prices(gpu_price: float | None, gpu: str) -> Prices:
    prices = list_prices()
    return prices.with_gpu(gpu, gpu_price) if gpu_price else prices


class _Opened:
    """A service's file, read to be edited."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        try:
            self.service = Service(path.read_bytes().decode("utf-8"))
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}; name the service.yaml to write to") from error
        except (UnicodeDecodeError, yaml_edit.NotYaml) as error:
            raise SourceError(f"{path}: cannot be read: {error}") from error
        except PlanRefused as error:
            raise PlanRefused(f"{path}: {error}") from error

    def other_than(self, model: str) -> str:
        """Return a note where nobody can say whether a file is of the model that the service names; "" else.

        Raises `PlanRefused`: it is another model, whose memory and start would be written into this service.
        """
        pins = self.service.models
        names = ", ".join(pin.name for pin in pins)
        if not pins or any(same_model(model, pin.name) for pin in pins):
            return ""
        if Path(model).is_file():
            return f"{self.path} serves {names}: see that {model} is the file of it"
        raise PlanRefused(
            f"{self.path} serves {names}, not {model}: it would get another model's memory and start; plan "
            f"{pins[0].name}, or change PROBE_AGENT_MODEL first"
        )

    def put(self, wanted: list[Setting]) -> list[str]:
        """Set what the file does not say yet; returns a line for each change."""
        try:
            text, changes = self.service.put([each for each in wanted if each.source != Source.FILE])
        except (PlanRefused, yaml_edit.NotSettable) as error:
            raise PlanRefused(f"{self.path}: {error}") from error
        if changes:
            self._save(text)
        return changes

    def _save(self, text: str) -> None:
        """Write the file anew: whole, or not at all."""
        aside: Path | None = None
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, delete=False) as file:
                aside = Path(file.name)
                file.write(text.encode("utf-8"))
            aside.chmod(self.path.stat().st_mode & 0o777)
            aside.replace(self.path)
        except OSError as error:
            if aside:
                with suppress(OSError):
                    aside.unlink()
            raise SourceError(f"{self.path}: cannot be written: {error.strerror}; it is as it was") from error
