"""The cold-start waterfall as a table with bars."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from ops.up.agent_status import AgentStatus, Phase

# The agent's phases, in order, as people read them.
LABELS = {
    "agent_up": "agent up",
    "port_open": "port open",
    "api_answers": "API answers",
    "model_fetched": "model fetched",
    "model_verified": "model verified",
    "load": "model loaded",
    "first_token": "first token",
    "warm_up": "warmed up",
    "ready": "READY",
}
# The other columns and the space between them.
TEXT_COLUMNS = 40
BAR_CELLS = 40
STYLES = {"load": "magenta", "first_token": "cyan", "warm_up": "yellow", "ready": "green"}


def table(status: AgentStatus, columns: int = 120) -> Table:
    """Return the waterfall for a terminal of this width; each bar begins where the phase before ended."""
    cells = max(0, min(BAR_CELLS, columns - TEXT_COLUMNS))
    total = max((phase.at_seconds for phase in status.phases), default=0.0) or 1.0
    result = Table(
        box=SIMPLE_HEAD,
        title="cold start, seconds since the agent's start",
        title_justify="left",
        title_style="bold",
    )
    result.add_column("phase")
    result.add_column("reached", justify="right")
    result.add_column("took", justify="right")
    result.add_column("")
    for phase in status.phases:
        label = LABELS.get(phase.name, phase.name)
        result.add_row(label, f"{phase.at_seconds:.3f}", f"{phase.seconds:.3f}", _bar(phase, total, cells))
    return result


def summary(status: AgentStatus, *, closed: bool) -> str:
    """Say what the waterfall comes to: the gap that a TCP probe leaves open, and the speed of the load."""
    parts = []
    if status.gap_seconds is not None:
        gap = "gap closed" if closed else "gap left open"
        parts.append(f"{gap}: {status.gap_seconds:.3f} s between the open port and READY")
    if status.load_bytes_per_second:
        parts.append(f"load: {status.load_bytes_per_second / 1e6:.0f} MB/s")
    if status.restored_slots:
        parts.append(f"prompt cache restored to {status.restored_slots} slots")
    return " · ".join(parts)


def _bar(phase: Phase, total: float, cells: int) -> Text:
    end = round(phase.at_seconds / total * cells)
    start = min(round((phase.at_seconds - phase.seconds) / total * cells), end)
    mark = "━" * (end - start) or ("╸" if start < cells else "")
    return Text(" " * start + mark, style=STYLES.get(phase.name, "blue"))
