"""What a run measures: every choice that its figures depend on; it stands in the run's file, to be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ops.loadtest.loads import Load, Loop

if TYPE_CHECKING:
    from ops.loadtest.arrivals import Arrivals
    from ops.loadtest.wire import Api


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The choices. Times in seconds; `prompts_sha256` stands for the content of a file of prompts."""

    target: str
    """The service's address, or the service.yaml that is run here."""
    local: bool
    service_sha256: str | None
    """The content of that service.yaml."""
    up_options: tuple[str, ...]
    api: Api
    model: str | None
    loop: Loop
    levels: tuple[float, ...]
    parallel: tuple[int, ...]
    variables: dict[str, str]
    arrivals: Arrivals
    prompt_tokens: str
    answer_tokens: str | None
    shared_prefix: float
    prompts_sha256: str | None
    seed: int
    temperature: float
    warmup: float
    duration: float
    repetitions: int
    timeout: float

    def loads(self, also: int | None) -> list[Load]:
        """Return the loads of one number of slots, ascending, and the rule of thumb's, `also`: a closed one."""
        loads = {Load(self.loop, float(level)) for level in self.levels}
        rule = set() if also is None else {Load(Loop.CLOSED, float(also))}
        return sorted(loads | rule) if self.loop is Loop.CLOSED else sorted(loads) + sorted(rule)

    def as_json(self) -> dict[str, Any]:
        """Return them as they stand in a run's file."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Return a line for each setting that differs between two runs' files."""
    names = sorted(ours.keys() | theirs.keys())
    return [
        f"{name}: {theirs.get(name)} then, {ours.get(name)} now" for name in names if ours.get(name) != theirs.get(name)
    ]
