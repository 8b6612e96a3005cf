"""What the benchmark of the gap counts: early is what the server could not answer at once, by its own word."""

import math

from rich.console import Console

from lab.measuring import gap
from lab.measuring.gap import Sent, Start


def sent(at: float, let_in: float, answered: float, took: float) -> Sent:
    """Return a request that was answered 200, or, where the server took for ever, not."""
    return Sent(at, let_in, answered, 0 if math.isinf(took) else 200, took)


def behind(opened: float, ready: float, *requests: Sent) -> Start:
    """Return a start in a round in which a cold server takes 4 s for the chat."""
    return Start(opened, ready, 4.0, {}, list(requests))


def test_an_agent_that_says_ready_at_once_lets_in_early() -> None:
    """READY does not decide what is early: a request let in after it that the server took long for is."""
    start = behind(0.2, 0.2, sent(0.0, 0.2, 3.7, 3.5), sent(0.25, 3.7, 3.8, 0.1))
    assert start.before_ready == 0
    assert start.early == [start.requests[0]]


def test_a_request_without_an_answer_is_early() -> None:
    """What fails was not answered at once."""
    assert len(behind(0.1, 3.0, sent(0.0, 0.1, 0.2, math.inf)).early) == 1


def test_those_that_wait_at_ready_are_told_apart() -> None:
    """A request at READY waits in Ollama, or at the gate, or has its answer, or is not sent yet."""
    requests = (
        sent(0.0, 0.1, 2.0, 1.9),
        sent(0.5, 2.0, 3.5, 1.5),
        sent(1.0, 3.5, 3.6, 0.1),
        sent(1.5, 3.6, 3.7, 0.1),
        sent(9.0, 9.0, 9.1, 0.1),
    )
    start = behind(0.1, 3.0, *requests)
    assert (start.in_ollama_at_ready, start.at_the_gate_at_ready) == (1, 2)


def test_gates_are_compared_within_their_round() -> None:
    """A round on a busy machine is slow behind every gate: the differences and shares to TCP do not show it."""
    rounds = [
        {
            name: behind(opened * slow, 3.0 * slow, sent(0.0, opened * slow, 3.1 * slow, 0.1))
            for name, opened in (("tcp", 0.1), ("agent_held", 3.0))
        }
        for slow in (1.0, 3.0)
    ]
    found = gap.figures(rounds, "agent_held")
    assert found["waited_less_tcp_seconds"]["most"] == 0
    assert math.isclose(found["first_let_in_to_tcp"]["least"], found["first_let_in_to_tcp"]["most"])
    assert [start["ready_seconds"] for start in found["starts"]] == [3.0, 9.0]


def test_the_table_shows_the_spread() -> None:
    """Beside each median stand the least and the most."""
    rounds = [{"tcp": behind(1.0, ready, sent(0.0, 1.0, 3.0, 2.0))} for ready in (2.0, 3.0, 5.0)]
    console = Console(width=200)
    with console.capture() as printed:
        console.print(gap.table({"tcp": gap.figures(rounds, "tcp")}, {"tcp": "TCP"}))
    assert "-2.000 (-4.000 to -1.000)" in printed.get()
