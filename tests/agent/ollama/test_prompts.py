"""Warm-up prompts: what is read, what is sent, and how it is spread over the slots."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe_agent.ollama.prompts import (
    DEFAULT_NUM_PREDICT,
    GREETING,
    PROMPT_FIELDS,
    RUNNER_OPTIONS,
    ChatPrompt,
    read_prompts,
    rounds,
)

HELLO = {"role": "user", "content": "hello"}


def line(**fields: object) -> str:
    """Return one line of a prompts file."""
    return json.dumps({"messages": [HELLO], **fields})


def test_a_line_is_a_chat_request() -> None:
    """One line with messages is one prompt for every model."""
    assert read_prompts(line()) == (ChatPrompt(messages=(HELLO,)),)


def test_every_known_field_is_kept() -> None:
    """Model, options, tools, format and think of a line are sent as they are written."""
    text = line(model="m", options={"temperature": 0}, tools=[{"type": "function"}], format="json", think=False)
    (prompt,) = read_prompts(text)

    assert prompt.model == "m"
    assert prompt.request(None) == {
        "messages": [HELLO],
        "options": {"num_predict": DEFAULT_NUM_PREDICT, "temperature": 0},
        "tools": [{"type": "function"}],
        "format": "json",
        "think": False,
    }


def test_blank_lines_are_skipped() -> None:
    """Blank lines separate prompts and are none."""
    assert len(read_prompts(f"\n{line()}\r\n  \n{line()}\n")) == 2


def test_a_line_separator_inside_a_text_does_not_end_the_line() -> None:
    """Only a newline ends a line: U+2028 and its like may stand raw inside a JSON string."""
    text = json.dumps({"messages": [{"role": "user", "content": "a\u2028b\u0085c"}]}, ensure_ascii=False)

    assert read_prompts(text)[0].messages[0]["content"] == "a\u2028b\u0085c"


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_prompts_is_refused(text: str) -> None:
    """A file that holds no prompt is a slip and is told as one."""
    with pytest.raises(ValueError, match="holds no prompt"):
        read_prompts(text)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("{", "Expecting"),
        ("[]", "JSON object"),
        ('"hello"', "JSON object"),
        (line(stream=True), "unknown field 'stream'"),
        (line(keep_alive=0), "unknown field 'keep_alive'"),
        ("{}", '"messages"'),
        ('{"messages": []}', '"messages"'),
        ('{"messages": "hello"}', '"messages"'),
        ('{"messages": ["hello"]}', '"messages"'),
        ('{"messages": [{"role": "user"}]}', '"messages"'),
        ('{"messages": [{"role": 1, "content": "a"}]}', '"messages"'),
        (line(options=[]), '"options"'),
        (line(model=1), '"model"'),
    ],
)
def test_a_bad_line_is_named(bad: str, said: str) -> None:
    """A line that is no chat request is refused with its number and what is expected."""
    with pytest.raises(ValueError, match="line 3: ") as refusal:
        read_prompts(f"{line()}\n\n{bad}")

    assert said in str(refusal.value)


def test_an_unknown_field_is_told_with_the_known_ones() -> None:
    """The refusal of an unknown field lists every known one."""
    with pytest.raises(ValueError, match="known are") as refusal:
        read_prompts(line(prompt="hello"))

    assert all(field in str(refusal.value) for field in PROMPT_FIELDS)


@pytest.mark.parametrize(("num_ctx", "sent"), [(8192, {"num_ctx": 8192}), (None, {})])
def test_the_pinned_context_goes_with_every_prompt(num_ctx: int | None, sent: dict[str, int]) -> None:
    """Another context than the pinned one would reload the model."""
    prompt = ChatPrompt(messages=(HELLO,), options=(("num_predict", 8),))

    assert prompt.request(num_ctx)["options"] == {"num_predict": 8, **sent}


def test_the_greeting_generates_one_token() -> None:
    """The default prompt costs no more than its first token."""
    assert GREETING.request(4096)["options"] == {"num_predict": 1, "num_ctx": 4096}


@pytest.mark.parametrize(
    ("prompts", "slots", "sent"),
    [
        ("a", 1, ["a"]),
        ("a", 3, ["aaa"]),
        ("abc", 1, ["a", "b", "c"]),
        ("abc", 2, ["ab", "ca"]),
        ("abcd", 2, ["ab", "cd"]),
        ("ab", 3, ["aba"]),
        ("", 4, []),
    ],
)
def test_rounds_fill_every_slot(prompts: str, slots: int, sent: list[str]) -> None:
    """Prompts go out in their order, as many at once as there are slots, and begin again to fill the last round."""
    given_prompts = [ChatPrompt(messages=({"role": "user", "content": letter},)) for letter in prompts]

    answer = ["".join(prompt.messages[0]["content"] for prompt in each) for each in rounds(given_prompts, slots)]

    assert answer == sent


@given(st.integers(1, 40), st.integers(1, 40))
def test_every_prompt_is_sent_and_every_round_is_full(count: int, slots: int) -> None:
    """For any number of prompts and slots all are sent, in full rounds, and no round is superfluous."""
    prompts = [ChatPrompt(messages=({"role": "user", "content": str(number)},)) for number in range(count)]

    sent = list(rounds(prompts, slots))

    assert all(len(each) == slots for each in sent)
    assert {id(prompt) for each in sent for prompt in each} == {id(prompt) for prompt in prompts}
    assert (len(sent) - 1) * slots < count


@pytest.mark.parametrize("option", sorted(RUNNER_OPTIONS))
def test_options_of_the_runner_are_refused(option: str) -> None:
    """An option for which Ollama would reload the model has no place in a warm-up, and is named."""
    with pytest.raises(ValueError, match=f"line 1: option {option} would make Ollama reload"):
        read_prompts(json.dumps({"messages": [HELLO], "options": {option: 1}}))
