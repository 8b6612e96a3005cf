"""Settings: every variable, good and bad, alone and together."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from probe_agent import parse
from probe_agent.errors import SettingsError
from probe_agent.ollama.prompts import GREETING
from probe_agent.ollama.types import ModelSpec
from probe_agent.settings import Settings
from probe_agent.variables import (
    PREFIX,
    VARIABLES,
    Device,
    DriftPolicy,
    Gateway,
    LogLevel,
    LogTarget,
    ModelSource,
    PinMode,
    help_text,
)

DIGEST = "9521" * 16
NAMES = [variable.name for variable in VARIABLES]


def read(**environ: str) -> Settings:
    """Read settings with one model, and what is given without the prefix."""
    return Settings.from_environ({f"{PREFIX}MODEL": "m", **full(environ)})


def full(environ: dict[str, str]) -> dict[str, str]:
    """Put the prefix before the names of our own variables."""
    return {name if name.startswith("OLLAMA_NUM") else PREFIX + name: text for name, text in environ.items()}


def problems(**environ: str) -> tuple[str, ...]:
    """Return what is wrong with an environment; the model is there unless it is overruled."""
    with pytest.raises(SettingsError) as refusal:
        read(**environ)
    return refusal.value.problems


def test_the_model_alone_is_enough() -> None:
    """With nothing but a model every other setting has its documented default."""
    assert read() == Settings(
        models=(ModelSpec("m"),),
        model_source=ModelSource.IMAGE,
        model_store="/models",
        model_bucket="",
        runtime_dir="",
        keep_alive=-1,
        device=Device.ANY,
        host="0.0.0.0",
        port=9090,
        ollama_url="http://127.0.0.1:11434",
        startup_hold_seconds=0.0,
        startup_timeout_seconds=600.0,
        period_seconds=5.0,
        timeout_seconds=2.0,
        failure_threshold=3,
        warmup_prompts=(),
        context_drift=DriftPolicy.REPIN,
        log_level=LogLevel.INFO,
        log_target=LogTarget.STDOUT,
        num_parallel=1,
        gateway=Gateway.OFF,
        gateway_aliases={},
        gateway_open_routes=(),
        gateway_api_keys_file="",
        gateway_body_bytes=32 << 20,
        gateway_deadline_seconds=300.0,
        gateway_queue=64,
        gateway_drain_seconds=8.0,
        gateway_num_ctx=PinMode.ENFORCE,
        gateway_runner_options=PinMode.ENFORCE,
        gateway_keep_alive=PinMode.ENFORCE,
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("KEEP_ALIVE", "-1", "keep_alive", -1),
        ("KEEP_ALIVE", "-5m", "keep_alive", "-5m"),
        ("KEEP_ALIVE", "3600", "keep_alive", 3600),
        ("KEEP_ALIVE", "24h", "keep_alive", "24h"),
        ("KEEP_ALIVE", "1h30m", "keep_alive", "1h30m"),
        ("KEEP_ALIVE", "5001ms", "keep_alive", "5001ms"),
        ("KEEP_ALIVE", "0.5h", "keep_alive", "0.5h"),
        ("MODEL_SOURCE", "Mount", "model_source", ModelSource.MOUNT),
        ("MODEL_STORE", "/mnt/models", "model_store", "/mnt/models"),
        ("RUNTIME_DIR", "/run/ollama", "runtime_dir", "/run/ollama"),
        ("DEVICE", "gpu", "device", Device.GPU),
        ("DEVICE", "GPU", "device", Device.GPU),
        ("HOST", "127.0.0.1", "host", "127.0.0.1"),
        ("HOST", "::", "host", "::"),
        ("PORT", "1", "port", 1),
        ("PORT", "65535", "port", 65535),
        ("OLLAMA_URL", "http://ollama:11434/", "ollama_url", "http://ollama:11434"),
        ("OLLAMA_URL", "127.0.0.1:21434", "ollama_url", "http://127.0.0.1:21434"),
        ("OLLAMA_URL", "ollama", "ollama_url", "http://ollama:11434"),
        ("OLLAMA_URL", "[::1]", "ollama_url", "http://[::1]:11434"),
        ("OLLAMA_NUM_PARALLEL", "0", "num_parallel", 1),
        ("OLLAMA_URL", "https://ollama.internal", "ollama_url", "https://ollama.internal"),
        ("OLLAMA_URL", "http://[::1]:11434", "ollama_url", "http://[::1]:11434"),
        ("STARTUP_HOLD_SECONDS", "0", "startup_hold_seconds", 0.0),
        ("STARTUP_HOLD_SECONDS", "239.5", "startup_hold_seconds", 239.5),
        ("STARTUP_TIMEOUT_SECONDS", "0.1", "startup_timeout_seconds", 0.1),
        ("STARTUP_TIMEOUT_SECONDS", "1800", "startup_timeout_seconds", 1800.0),
        ("PERIOD_SECONDS", "2", "period_seconds", 2.0),
        ("PERIOD_SECONDS", "3600", "period_seconds", 3600.0),
        ("TIMEOUT_SECONDS", "0.05", "timeout_seconds", 0.05),
        ("TIMEOUT_SECONDS", "5", "timeout_seconds", 5.0),
        ("FAILURE_THRESHOLD", "1", "failure_threshold", 1),
        ("CONTEXT_DRIFT", "report", "context_drift", DriftPolicy.REPORT),
        ("LOG_LEVEL", "DEBUG", "log_level", LogLevel.DEBUG),
        ("LOG_TARGET", "api", "log_target", LogTarget.API),
        ("OLLAMA_NUM_PARALLEL", "4", "num_parallel", 4),
        ("PORT", " 9091 ", "port", 9091),
        ("PORT", "", "port", 9090),
        ("GATEWAY_ALIASES", "a=m, b=m:latest", "gateway_aliases", {"a": "m", "b": "m:latest"}),
        ("GATEWAY_OPEN_ROUTES", "/api/pull, /api/me", "gateway_open_routes", ("/api/pull", "/api/me")),
        ("PORT", "  ", "port", 9090),
    ],
)
def test_a_good_value_is_taken(name: str, text: str, field: str, value: Any) -> None:
    """A good text becomes its value; blanks around it do not count, and an empty one means unset."""
    assert getattr(read(**{name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("MODEL", "", "required: for example"),
        ("MODEL", ",", "NAME[@NUM_CTX]"),
        ("GATEWAY_ALIASES", "a", "expected NAME=MODEL"),
        ("GATEWAY_ALIASES", "a=other", "the model is not in PROBE_AGENT_MODEL"),
        ("GATEWAY_OPEN_ROUTES", "/api/chat", "expected some of: /api/pull"),
        ("GATEWAY_API_KEYS_FILE", "/nowhere", "cannot be read: No such file"),
        ("GATEWAY_API_KEYS_FILE", "/dev/null", "holds no key"),
        ("GATEWAY", "maybe", "off, on"),
        ("GATEWAY_NUM_CTX", "no", "enforce, reject, observe"),
        ("MODEL", "m,", "NAME[@NUM_CTX]"),
        ("MODEL", "@8192", "NAME[@NUM_CTX]"),
        ("MODEL", "gemma 3", "NAME[@NUM_CTX]"),
        ("MODEL", "m@", "tokens"),
        ("MODEL", "m@0", "tokens"),
        ("MODEL", "m@8k", "tokens"),
        ("MODEL", "m@8192@4096", "tokens"),
        ("MODEL", "m@16777217", "to 16777216"),
        ("MODEL", "m@8192,m@4096", "m is named twice"),
        ("MODEL", "m@8192,m:latest@4096", "m:latest is named twice"),
        ("MODEL", "m,M", "M is named twice"),
        ("NUM_CTX", "0", "tokens"),
        ("NUM_CTX", "-1", "tokens"),
        ("NUM_CTX", "8e3", "tokens"),
        ("MODEL_DIGEST", "9521", "12 to 64 hex digits"),
        ("MODEL_DIGEST", "g" * 64, "12 to 64 hex digits"),
        ("MODEL_DIGEST", DIGEST + "0", "12 to 64 hex digits"),
        ("MODEL_DIGEST", DIGEST + ",", "12 to 64 hex digits"),
        ("KEEP_ALIVE", "forever", "duration"),
        ("KEEP_ALIVE", "5 m", "duration"),
        ("KEEP_ALIVE", "1d", "duration"),
        ("KEEP_ALIVE", "1.5", "duration"),
        ("KEEP_ALIVE", "--1", "duration"),
        ("DEVICE", "tpu", "any, gpu"),
        ("PORT", "0", "from 1 to 65535"),
        ("PORT", "65536", "from 1 to 65535"),
        ("PORT", "http", "from 1 to 65535"),
        ("PORT", "9" * 5000, "from 1 to 65535"),
        ("PORT", "٩٠٩٠", "from 1 to 65535"),
        ("OLLAMA_URL", "ftp://ollama", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ollama:0", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ollama:65536", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ollama:port", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ollama/api", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ollama?x=1", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ollama#x", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://ol\nlama:1", "without line breaks"),
        ("OLLAMA_URL", "http://ol lama:1", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://[::1", "http://HOST:PORT"),
        ("OLLAMA_URL", "http://[:::]:1", "http://HOST:PORT"),
        ("STARTUP_HOLD_SECONDS", "-1", "seconds from 0 to 1800"),
        ("STARTUP_HOLD_SECONDS", "1800.5", "seconds from 0 to 1800"),
        ("STARTUP_HOLD_SECONDS", "5s", "seconds from 0 to 1800"),
        ("STARTUP_TIMEOUT_SECONDS", "0", "seconds from 0.1 to 86400"),
        ("STARTUP_TIMEOUT_SECONDS", "inf", "seconds from 0.1 to 86400"),
        ("PERIOD_SECONDS", "0", "seconds from 0.05 to 3600"),
        ("PERIOD_SECONDS", "nan", "seconds from 0.05 to 3600"),
        ("TIMEOUT_SECONDS", "0.04", "seconds from 0.05 to 3600"),
        ("TIMEOUT_SECONDS", "1_000", "seconds from 0.05 to 3600"),
        ("FAILURE_THRESHOLD", "0", "from 1 to 1000"),
        ("FAILURE_THRESHOLD", "1.5", "from 1 to 1000"),
        ("WARMUP_PROMPTS", "/no/such/file.jsonl", "cannot be read: No such file"),
        ("WARMUP_PROMPTS", "/", "cannot be read: Is a directory"),
        ("WARMUP_PROMPTS", "a\0b", "control characters"),
        ("CONTEXT_DRIFT", "ignore", "repin, report"),
        ("LOG_LEVEL", "trace", "debug, info, warning, error"),
        ("OLLAMA_NUM_PARALLEL", "-1", "from 0 to 1024"),
        ("OLLAMA_NUM_PARALLEL", "auto", "from 0 to 1024"),
    ],
)
def test_a_bad_value_is_told(name: str, text: str, said: str) -> None:
    """A bad text is reported in one line: the variable, the text itself, and what is expected."""
    (problem,) = problems(**{name: text})

    assert problem.startswith(next(iter(full({name: ""}))) + "=")
    assert said in problem
    assert repr(text.strip())[1:-1] in problem
    assert "\n" not in problem


def test_a_missing_model_is_told() -> None:
    """An environment without a model is refused, with an example of one."""
    with pytest.raises(SettingsError, match=r"PROBE_AGENT_MODEL=.*required"):
        Settings.from_environ({})


def test_all_bad_variables_are_told_together() -> None:
    """Every bad variable is in the one error: wrong, unknown and missing ones alike."""
    told = problems(MODEL="", PORT="0", DEVICE="tpu", LOG_LEVEL="loud", PERIOD="5")

    assert [line.split("=")[0].split(":")[0] for line in sorted(told)] == [
        "PROBE_AGENT_DEVICE",
        "PROBE_AGENT_LOG_LEVEL",
        "PROBE_AGENT_MODEL",
        "PROBE_AGENT_PERIOD",
        "PROBE_AGENT_PORT",
    ]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("PERIOD_SECOND", "PROBE_AGENT_PERIOD_SECOND: unknown variable; did you mean PROBE_AGENT_PERIOD_SECONDS?"),
        ("CONTEXTDRIFT", "PROBE_AGENT_CONTEXTDRIFT: unknown variable; did you mean PROBE_AGENT_CONTEXT_DRIFT?"),
        ("FOO", "PROBE_AGENT_FOO: unknown variable"),
        ("Z" * 40, f"PROBE_AGENT_{'Z' * 40}: unknown variable"),
    ],
)
def test_an_unknown_variable_is_told(name: str, told: str) -> None:
    """A variable with our prefix that we do not know is refused, with a known one only where one is close."""
    assert problems(**{name: "1"}) == (told,)


def test_other_peoples_variables_are_left_alone() -> None:
    """Variables without our prefix are none of our business."""
    others = {"PATH": "/bin", "OLLAMA_HOST": "0.0.0.0", "PROBE": "1", "K_SERVICE": "chat"}

    assert Settings.from_environ({f"{PREFIX}MODEL": "m", **others}) == read()


@pytest.mark.parametrize(
    ("environ", "pins"),
    [
        ({"MODEL": "m"}, [("m", None)]),
        ({"MODEL": "m@1"}, [("m", 1)]),
        ({"MODEL": "m@8192"}, [("m", 8192)]),
        ({"MODEL": "m", "NUM_CTX": "4096"}, [("m", 4096)]),
        ({"MODEL": "m@8192", "NUM_CTX": "4096"}, [("m", 8192)]),
        (
            {"MODEL": "gemma3:4b-it-qat@8192, embeddinggemma", "NUM_CTX": "2048"},
            [("gemma3:4b-it-qat", 8192), ("embeddinggemma", 2048)],
        ),
        ({"MODEL": "hf.co/o/m:Q4_K_M@4096,m:a,m:b"}, [("hf.co/o/m:Q4_K_M", 4096), ("m:a", None), ("m:b", None)]),
    ],
)
def test_models_are_pinned_with_their_contexts(environ: dict[str, str], pins: list[tuple[str, int | None]]) -> None:
    """Each model has its own context, else the common one, else Ollama's; their order is kept."""
    assert [(pin.name, pin.num_ctx) for pin in read(**environ).models] == pins


def test_digests_belong_to_models_in_order() -> None:
    """Digests are read in any of their spellings and go to the models in order."""
    models = read(MODEL="a,b,c", MODEL_DIGEST=f"sha256:{DIGEST}, {DIGEST.upper()},ABCDEF012345").models

    assert [pin.digest for pin in models] == [DIGEST, DIGEST, "abcdef012345"]


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"TIMEOUT_SECONDS": "6"}, "TIMEOUT_SECONDS=6: must not exceed PROBE_AGENT_PERIOD_SECONDS=5"),
        ({"PERIOD_SECONDS": "1"}, "TIMEOUT_SECONDS=2: must not exceed PROBE_AGENT_PERIOD_SECONDS=1"),
        ({"KEEP_ALIVE": "0"}, "KEEP_ALIVE=0: must outlast PROBE_AGENT_PERIOD_SECONDS=5"),
        ({"KEEP_ALIVE": "-0"}, "KEEP_ALIVE=0: must outlast"),
        ({"KEEP_ALIVE": "-0s"}, "KEEP_ALIVE=-0s: must outlast"),
        ({"KEEP_ALIVE": "5"}, "KEEP_ALIVE=5: must outlast"),
        ({"KEEP_ALIVE": "4s999ms"}, "KEEP_ALIVE=4s999ms: must outlast"),
        ({"MODEL_DIGEST": f"{DIGEST},{DIGEST}"}, "MODEL_DIGEST: 2 digests for 1 models"),
        ({"MODEL": "a,b", "MODEL_DIGEST": DIGEST}, "MODEL_DIGEST: 1 digests for 2 models"),
    ],
)
def test_contradictions_are_told(environ: dict[str, str], told: str) -> None:
    """Variables that are right by themselves and wrong together are refused, both of them named."""
    (problem,) = problems(**environ)

    assert problem.startswith(PREFIX + told)


def test_a_contradiction_with_a_bad_variable_is_not_told_twice() -> None:
    """What failed to parse is reported once, not once more as a contradiction."""
    assert len(problems(PERIOD_SECONDS="x", TIMEOUT_SECONDS="9", KEEP_ALIVE="1")) == 1
    assert len(problems(PERIOD_SECONDS="1", TIMEOUT_SECONDS="x", KEEP_ALIVE="x")) == 2
    assert len(problems(MODEL="", MODEL_DIGEST=f"{DIGEST},{DIGEST}")) == 1


@pytest.mark.parametrize(
    ("text", "forever"), [("-1", True), ("-1m", True), ("-0.5s", True), ("24h", False), ("3600", False)]
)
def test_a_negative_keep_alive_is_forever(text: str, forever: bool) -> None:
    """Any negative keep_alive pins the model without end."""
    assert read(KEEP_ALIVE=text).pinned_forever is forever


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(-1, -1.0), (30, 30.0), ("1h30m", 5400.0), ("250ms", 0.25), ("-2m", -120.0), ("1.5s", 1.5), ("1m1ms", 60.001)],
)
def test_durations_are_understood_as_ollama_does(value: int | str, seconds: float) -> None:
    """A keep_alive is so many seconds, whichever way it is written."""
    assert parse.keep_alive_seconds(value) == pytest.approx(seconds)


def prompts_file(folder: Path, *requests: object) -> str:
    """Write JSON lines and return their path."""
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(json.dumps(request) for request in requests), encoding="utf-8")
    return str(path)


def test_warmup_prompts_are_read_from_their_file(tmp_path: Path) -> None:
    """The prompts of the named file are part of the settings."""
    request = {"messages": [{"role": "user", "content": "Grüß dich"}], "model": "m"}

    (prompt,) = read(WARMUP_PROMPTS=prompts_file(tmp_path, request)).warmup_prompts

    assert (prompt.messages, prompt.model) == (({"role": "user", "content": "Grüß dich"},), "m")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no prompt"),
        (b"{}", "line 1: "),
        (b"\xff\xfe", "line 1: is not UTF-8 text"),
        (b'{"messages": [{"role": "user", "content": "Hello."}]}\n\n"\xe9"', "line 3: is not UTF-8 text"),
        (b"{", "line 1: is no JSON: Expecting property name enclosed in double quotes (character 2)"),
        (b"[" * 100_000, "line 1: maximum recursion depth exceeded"),
        (b'{"options": {"temperature": NaN}}', "line 1: Out of range float values"),
        (b'{"options": {"temperature": 1e999}}', "line 1: Out of range float values"),
        (b'{"options": {"seed": ' + b"1" * 5000 + b"}}", "line 1: Exceeds the limit"),
        (b'{"format": "\\ud800"}', "line 1: 'utf-8' codec can't encode"),
    ],
)
def test_a_bad_prompts_file_is_told(tmp_path: Path, content: bytes, said: str) -> None:
    """A prompts file that cannot be used is reported with the place and the reason."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(content)

    (problem,) = problems(WARMUP_PROMPTS=str(path))
    assert str(path) in problem
    assert said in problem


def test_a_line_of_prompts_ends_at_a_line_feed_alone(tmp_path: Path) -> None:
    """F14: U+2028 inside a prompt is text, whatever else Unicode calls a line."""
    request = {"messages": [{"role": "user", "content": "one\u2028two\u0085three"}]}
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps(request, ensure_ascii=False), encoding="utf-8")

    (prompt,) = read(WARMUP_PROMPTS=str(path)).warmup_prompts

    assert list(prompt.messages) == request["messages"]


@pytest.mark.parametrize("address", ["http://user:pass-word@ollama:11434", "user:pass-word@ollama", "//u:pass-word@o"])
def test_a_password_in_an_address_is_never_printed(address: str) -> None:
    """B10: an address with user and password is refused without them."""
    (problem,) = problems(OLLAMA_URL=address)
    assert "pass-word" not in problem
    assert "without user and password" in problem


def test_a_mark_before_the_prompts_is_no_part_of_them(tmp_path: Path) -> None:
    """Editors that save UTF-8 with a byte-order mark, and lines that end in CR and LF, are welcome."""
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"messages": [{"role": "user", "content": "Hello."}]}\r\n')

    assert read(WARMUP_PROMPTS=str(path)).warmup_prompts == (GREETING,)


def test_a_prompt_for_a_model_that_is_not_served_is_told(tmp_path: Path) -> None:
    """A prompt that names a model which is not configured would never be sent, and is refused."""
    message = {"role": "user", "content": "hello"}
    path = prompts_file(tmp_path, {"messages": [message], "model": "other"}, {"messages": [message]})

    assert problems(WARMUP_PROMPTS=path) == (
        "PROBE_AGENT_WARMUP_PROMPTS: names 'other', which is not in PROBE_AGENT_MODEL",
    )


@pytest.mark.parametrize("variable", VARIABLES, ids=NAMES)
def test_help_tells_name_default_and_meaning(variable: Any) -> None:
    """The help shows every variable with its default, or that it is required, and what it means."""
    shown = help_text()

    assert f"  {variable.name} (" in shown
    assert f"      {variable.meaning}" in shown
    assert ("(required)" in shown.split(variable.name)[1].splitlines()[0]) is (variable.default is None)


@pytest.mark.parametrize("variable", [each for each in VARIABLES if each.default is not None], ids=NAMES[1:])
def test_a_default_is_a_good_value(variable: Any) -> None:
    """Setting a variable to its own default changes nothing."""
    assert Settings.from_environ({f"{PREFIX}MODEL": "m", variable.name: variable.default}) == read()


ANY_TEXT = st.text(st.characters())
LIKELY_TEXT = st.from_regex(
    r"\A(-?[0-9]{1,8}(\.[0-9]{1,3})?(ms|s|m|h)?|https?://[!-~]{1,20}|[a-z:@,0-9]{1,20}|[0-9a-f,:]{12,70})\Z"
)


def outcome(environ: dict[str, str]) -> Settings | SettingsError:
    """Return the settings, or the one error that may come instead."""
    try:
        return Settings.from_environ(environ)
    except SettingsError as refusal:
        return refusal


@given(st.dictionaries(st.sampled_from(NAMES) | ANY_TEXT.map(PREFIX.__add__) | ANY_TEXT, ANY_TEXT | LIKELY_TEXT))
@example({f"{PREFIX}MODEL": "m", f"{PREFIX}OLLAMA_URL": "http://[v1.x]:1"})
@example({f"{PREFIX}MODEL": "m", f"{PREFIX}PORT": "9" * 5000})
def test_any_environment_is_settings_or_an_explained_refusal(environ: dict[str, str]) -> None:
    """Whatever the environment holds, the answer is settings or one SettingsError whose lines name variables."""
    answer = outcome(environ)

    if isinstance(answer, SettingsError):
        assert answer.problems
        assert all(line.startswith((PREFIX, "OLLAMA_NUM_PARALLEL")) for line in answer.problems)
    else:
        assert answer.models
        assert answer.timeout_seconds <= answer.period_seconds


@given(st.from_regex(parse.ADDRESS, fullmatch=True) | ANY_TEXT.map("http://".__add__))
def test_an_accepted_address_is_one_for_the_client(text: str) -> None:
    """No address passes the settings at which the HTTP client would fail after the start."""
    try:
        accepted = parse.url(text)
    except ValueError:
        return
    assert httpx.URL(accepted).host


def test_a_download_says_from_where() -> None:
    """The source gcs needs a bucket; a closing slash is nothing."""
    assert read(MODEL_SOURCE="gcs", MODEL_BUCKET="gs://some-bucket/a/b/").model_bucket == "gs://some-bucket/a/b"
    assert "MODEL_BUCKET must say from where" in problems(MODEL_SOURCE="gcs")[0]


def test_a_bucket_that_nobody_reads_is_a_mistake() -> None:
    """A bucket beside another source is reported, because its models would not come from there."""
    assert "only read with" in problems(MODEL_SOURCE="mount", MODEL_BUCKET="gs://some-bucket")[0]


@pytest.mark.parametrize(
    "text", ["some-bucket", "gs://", "gs://Upper", "gs://b ucket/x", "gs://bucket//x", "s3://bucket"]
)
def test_what_is_no_bucket_is_refused(text: str) -> None:
    """The address of a bucket has one form."""
    assert "expected gs://BUCKET/PREFIX" in problems(MODEL_SOURCE="gcs", MODEL_BUCKET=text)[0]


@pytest.mark.parametrize("name", ["MODEL_STORE", "RUNTIME_DIR"])
def test_a_folder_has_an_absolute_path(name: str) -> None:
    """A relative path would depend on where the agent was started."""
    assert "absolute path" in problems(**{name: "models"})[0]


def test_the_gateway_needs_http() -> None:
    """Its own client speaks no TLS."""
    assert problems(GATEWAY="on", OLLAMA_URL="https://a")[0].startswith(
        "PROBE_AGENT_GATEWAY=on: reaches Ollama by HTTP"
    )


def test_a_file_of_keys_must_be_utf_8(tmp_path: Path) -> None:
    """Nothing of the file is shown."""
    (tmp_path / "keys").write_bytes(b"team \xff")
    assert problems(GATEWAY_API_KEYS_FILE=str(tmp_path / "keys"))[0].endswith("is not UTF-8 text")
