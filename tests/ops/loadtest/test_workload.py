"""What the load test sends, and when: lengths, prompts, arrivals, replayed files."""

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.loadtest import lengths, wire, workload
from ops.loadtest.errors import InputError
from ops.loadtest.loads import Arrivals, schedule
from ops.loadtest.workload import Replay, Request, Synthetic


def synthetic(prompt: str = "40", answer: str = "8", shared: float = 0.5, seed: int = 1, salt: str = "") -> Synthetic:
    """Return prompts of 40 tokens, half of them shared."""
    return Synthetic(lengths.parse(prompt), lengths.parse(answer), shared, seed, salt)


@pytest.mark.parametrize("text", ["128", "uniform:64,256", "normal:128,32", "lognormal:128,0.5"])
def test_lengths_are_drawn_within_bounds(text: str) -> None:
    """Every form gives whole lengths of at least 1, around what was asked for."""
    drawn = [lengths.parse(text).draw(random.Random(n)) for n in range(300)]  # noqa: S311 — a sample, not a secret
    assert all(length >= 1 for length in drawn)
    assert 100 < sum(drawn) / len(drawn) < 180


@pytest.mark.parametrize("text", ["", "0", "-1", "uniform:9,3", "normal:1", "zipf:1,2", "9999999"])
def test_what_is_no_length_is_refused(text: str) -> None:
    """The complaint says what is expected, and what was found."""
    with pytest.raises(ValueError, match=r"expected TOKENS.*found"):
        lengths.parse(text)


def test_the_same_request_comes_again() -> None:
    """Seed, stream and number give the request: a run can be repeated; another stream asks something else."""
    assert synthetic().request("a", 3) == synthetic().request("a", 3)
    assert synthetic().request("a", 3) != synthetic().request("b", 3)
    assert synthetic().request("a", 3) != synthetic(seed=2).request("a", 3)


def test_another_run_asks_something_else_of_the_same_lengths() -> None:
    """A server must not answer a run from what it kept of the one before; yet the two can be compared."""
    first, second = (synthetic("uniform:40,80", "uniform:4,8", salt=salt) for salt in "ab")
    for number in range(20):
        ours, theirs = (each.request("a", number) for each in (first, second))
        assert all(one != other for one, other in zip(ours.messages, theirs.messages, strict=True))
        assert [len(each["content"].split()) for each in ours.messages] == [
            len(each["content"].split()) for each in theirs.messages
        ]
        assert ours.answer_tokens == theirs.answer_tokens


def test_a_prompt_has_the_length_that_was_asked_for() -> None:
    """All words count: the shared ones, those that every prompt begins with, and its own."""
    messages = synthetic("40").request("a", 0).messages
    assert sum(len(each["content"].split()) for each in messages) == 40


def test_the_shared_prefix_is_the_same_for_all() -> None:
    """The share of each prompt that is shared is one system message; what follows differs."""
    first, second = (synthetic().request("a", n).messages for n in (0, 1))
    assert first[0] == second[0]
    assert len(first[0]["content"].split()) == 20
    assert first[1] != second[1]


def test_nothing_is_shared_where_nothing_should_be() -> None:
    """Without a share there is no system message."""
    assert [message["role"] for message in synthetic(shared=0).request("a", 0).messages] == ["user"]


@given(rate=st.floats(0.5, 200), seconds=st.floats(0.1, 20), seed=st.integers(0, 99))
def test_arrivals_are_in_order_and_within_the_time(rate: float, seconds: float, seed: int) -> None:
    """Instants rise from 0 and stay below the end; the same seed gives the same."""
    for kind in Arrivals:
        instants = schedule(kind, rate, seconds, seed)
        assert instants == sorted(instants) == schedule(kind, rate, seconds, seed)
        assert all(0 <= instant < seconds for instant in instants)


def test_poisson_arrivals_have_the_rate_and_the_spread() -> None:
    """Their number is that of the rate; the gaps' deviation is as large as their mean, as for independent users."""
    instants = schedule(Arrivals.POISSON, 50, 400, 1)
    gaps = [after - before for before, after in pairwise(instants)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert len(instants) == pytest.approx(20_000, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)


def test_a_file_is_replayed_in_its_order(tmp_path: Path) -> None:
    """Prompts and messages are both read; after the last line comes the first, and each stream starts elsewhere."""
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "one"}\n\n{"messages": [{"role": "user", "content": "two"}], "max_tokens": 7}\n')
    one, two = workload.read(file, 5, native=True)
    assert (one.messages[0]["content"], one.answer_tokens) == ("one", 5)
    assert (two.messages[0]["content"], two.answer_tokens) == ("two", 7)
    asked = [Replay((one, two), 1).request("a", n) for n in range(4)]
    assert asked in ([one, two, one, two], [two, one, two, one])


def test_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    """U+2028 and U+0085 are text within a line, a byte order mark is none, and CRLF ends a line too."""
    texts = ["one\u2028two", "one\x85two"]
    lines = [json.dumps({"prompt": text}, ensure_ascii=False) for text in texts]
    file = tmp_path / "p.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\n")
    assert [each.messages[0]["content"] for each in workload.read(file, None, native=True)] == texts


def test_sharegpt_conversations_are_chats(tmp_path: Path) -> None:
    """Each turn has its role; answers at the end are left out, so that the model answers the user."""
    turns = [("system", "Be brief."), ("human", "Hi"), ("gpt", "Hello"), ("human", "Bye"), ("gpt", "Bye")]
    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps({"id": "x", "conversations": [{"from": who, "value": text} for who, text in turns]}))
    (request,) = workload.read(file, 5, native=True)
    roles = [(each["role"], each["content"]) for each in request.messages]
    assert roles == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Bye")]


PARTS = [
    {"type": "text", "text": "What is it?"},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUI="}},
]


def test_content_may_be_parts(tmp_path: Path) -> None:
    """`/v1` gets the parts as they are; `/api/chat` gets their text, and the images in base64."""
    file = tmp_path / "p.jsonl"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": PARTS}]}))
    (openai,), (native,) = (workload.read(file, 5, native=native) for native in (False, True))
    assert openai.messages[0]["content"] == PARTS
    assert native.messages[0] == {"role": "user", "content": "What is it?", "images": ["QUI="]}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (
            '{"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "https://h/a.png"}]}]}',
            ":1: /api/chat takes no part such as",
        ),
        ('{"conversations": [{"from": "gpt", "value": "x"}]}', ":1: expected"),
        ('{"conversations": "x"}', ":1: expected"),
        ("", "has no line"),
        ("{", ":1: is not JSON"),
        ('{"prompt": "x"}\n[1]', ":2: expected an object"),
        ('{"text": "x"}', ':1: expected "prompt": TEXT'),
        ('{"messages": [{"role": "user"}]}', ":1: expected"),
        ('{"prompt": "x", "max_tokens": 0}', ":1: max_tokens"),
    ],
)
def test_a_bad_line_is_named(content: str, complaint: str, tmp_path: Path) -> None:
    """The complaint names file, line and what is wrong."""
    file = tmp_path / "p.jsonl"
    file.write_text(content)
    with pytest.raises(InputError) as raised:
        workload.read(file, None, native=True)
    assert complaint in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """An unreadable file is one line, not a traceback."""
    with pytest.raises(InputError, match="No such file"):
        workload.read(tmp_path / "none", None, native=True)


@pytest.mark.parametrize("api", wire.Api)
def test_a_body_asks_for_a_stream_and_changes_no_load(api: wire.Api) -> None:
    """Only sampling is sent: num_ctx and the like would reload the model."""
    request = Request(({"role": "user", "content": "Hi"},), 9)
    body = json.loads(wire.body(api, "m", request, seed=3, temperature=0.5))
    assert body["stream"] is True
    assert body.get("max_tokens", 9) == body.get("options", {}).get("num_predict", 9) == 9
    assert set(body.get("options", {})) <= {"seed", "temperature", "num_predict"}


def test_native_lines_are_read() -> None:
    """Text, the last line's durations in seconds, and an error in the midst of a stream."""
    api = wire.Api.NATIVE
    assert wire.said(api, b'{"message":{"content":"a"},"done":false}').text == "a"
    final = wire.said(api, b'{"message":{"content":""},"done":true,"eval_count":4,"total_duration":2500000000}')
    assert (final.done, final.output_tokens, final.total, final.load) == (True, 4, 2.5, None)
    assert wire.said(api, b'{"error":"gone"}').error == "gone"
    assert wire.goes_on(api, b'{"message":{"content":"a"},"done":false}')
    assert not wire.goes_on(api, rb'{"message":{"content":"\"done\":false"},"done":true}')


def test_server_sent_events_are_read() -> None:
    """Text, usage, the end, and comments that say nothing."""
    api = wire.Api.OPENAI
    assert wire.said(api, b'data: {"choices":[{"delta":{"content":"a"}}]}').text == "a"
    usage = wire.said(api, b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}')
    assert (usage.prompt_tokens, usage.output_tokens) == (3, 4)
    assert wire.said(api, b"data: [DONE]").done
    assert wire.said(api, b": ping") == wire.NOTHING
    assert wire.said(api, b'data: {"error":{"message":"gone"}}').error == "gone"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b'{"error":"no"}', "no"), (b'{"error":{"message":"no"}}', "no"), (b"<p>no</p>", "<p>no</p>"), (b"", "")],
)
def test_a_refusal_is_told_in_its_own_words(content: bytes, words: str) -> None:
    """JSON of both formats, and text of a front that knows neither."""
    assert wire.refusal(content) == words
