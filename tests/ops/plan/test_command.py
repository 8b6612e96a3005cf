"""`ops plan` as an operator meets it: its tables, its JSON, its refusals, and what it writes into a service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from gguf import GGUFReader
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab import attention_ggufs
from lab.servers import LoopbackServer
from ops import cli, smollm2
from ops.lint.engine import lint
from ops.plan import command
from ops.plan.options import Options
from ops.plan.sources import from_gguf

SERVICE = Path(__file__).parents[3] / "service.yaml"
MODEL = str(smollm2.gguf_path())


def plan(*arguments: str) -> tuple[int, str]:
    """Run the command as `ops plan` would; returns its exit status and what it printed."""
    app = cli.make_app("ops plan", "")
    asked: list[tuple[str, Options]] = []

    @app.default
    def _take(model: str, /, given: Options = Options()) -> None:  # noqa: B008
        asked.append((model, given))

    status = cli.run(app, arguments)
    if not asked:
        raise SystemExit(status)
    console = Console(record=True, width=200, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        status = command.answer(*asked[0], console)
        return status, console.export_text()


def planned(*arguments: str) -> Any:
    """Return the plan as a program reads it."""
    return json.loads(plan(MODEL, "--format", "json", *arguments)[1])


def test_a_plan_for_people() -> None:
    """What is taken, that it fits, what each type would buy, the rule with its numbers, the price and the settings."""
    status, said = plan(MODEL, "--rate", "0.1", "--seconds", "5", "--tokens", "200", "--load-rate", "100")
    assert status == 0
    for words in (
        "720.0 MiB",
        "fits, ",
        "q4_0",
        "1 x 4 + 1 x 4 = 8",
        "never by GPU",
        "M/M/c",
        "1.421",
        "OLLAMA_MAX_QUEUE",
    ):
        assert words in said


def test_a_plan_for_programs() -> None:
    """The same as one JSON document, in bytes and seconds."""
    found = planned("--kv-cache-type", "q8_0", "--load-rate", "100")
    assert found["memory"]["kv_cache"] == 30 * 2 * (192 // 32 * 34) * 8192 * 4
    assert found["memory"]["fits"]
    assert found["container_concurrency"] == 8
    assert found["startup"]["seconds"] == 60
    assert [each["kv_type"] for each in found["kv_types"]] == ["f16", "q8_0", "q4_0"]
    assert found["scaling"] is None


def test_more_models_take_more_of_everything() -> None:
    """Three models of four slots: three times the memory, and 24 requests at once (R29)."""
    one, three = planned(), planned("--models", "3")
    assert three["container_concurrency"] == 24
    assert three["memory"]["total"] == 3 * one["memory"]["total"]


def test_what_does_not_fit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Too much for the device: exit status 1, by how much, and what would fit instead."""
    status, said = plan(MODEL, "--gpu", "cpu", "--memory", "3.6", "--parallel", "8")
    assert status == 1
    assert "does not fit" in said
    kv_types = planned("--gpu", "cpu", "--memory", "3.6", "--parallel", "8")["kv_types"]
    assert [each["fits"] for each in kv_types] == [False, False, True]
    assert kv_types[0]["largest_parallel"] == 2
    assert kv_types[0]["largest_context"] < 8192


def test_the_host_s_memory_is_held_too() -> None:
    """Beside a GPU the container holds prompt caches: three of 8 GiB are too many for 16, and are not written."""
    arguments = ("--models", "3", "--prompt-cache", "8192")
    status, said = plan(MODEL, *arguments, "--memory", "16")
    assert status == 1
    assert "too many for the container's 16 GiB" in said
    assert not planned(*arguments, "--memory", "16")["memory"]["fits"]
    assert planned(*arguments, "--memory", "32")["memory"]["fits"]


def test_the_largest_that_fits_is_the_largest() -> None:
    """At the context and the slots that are named as the largest the plan fits, one step further it does not."""
    small = ("--gpu", "cpu", "--memory", "3.6")
    first = planned(*small, "--parallel", "8")["kv_types"][0]
    context, slots = first["largest_context"], first["largest_parallel"]
    assert plan(MODEL, *small, "--parallel", "8", "--context", str(context))[0] == 0
    assert plan(MODEL, *small, "--parallel", "8", "--context", str(context + 256))[0] == 1
    assert plan(MODEL, *small, "--parallel", str(slots))[0] == 0
    assert plan(MODEL, *small, "--parallel", str(slots + 1))[0] == 1


def test_a_context_beyond_the_trained_one_is_cut_and_said() -> None:
    """Ollama gives no more than the model was trained for, and says nothing: the plan does."""
    _, said = plan(MODEL, "--context", "100000")
    assert "100000 tokens were asked for" in said
    assert planned("--context", "100000")["memory"]["context"] == 8192


def test_one_slot_is_said(tmp_path: Path) -> None:
    """Where Ollama serves an architecture with one slot, the plan counts one and says so."""
    path = attention_ggufs.write(tmp_path, "delta_net")
    status, said = plan(str(path))
    assert status == 0
    assert "Ollama gives qwen35 one" in said
    assert "1 x 1 + 1 x 1 = 2" in said


def test_a_price_that_nobody_published_is_asked_for() -> None:
    """Without a list price the rest of the plan stands, and the option is named; with one it is used."""
    assert "--gpu-price" in plan(MODEL, "--gpu", "nvidia-rtx-pro-6000")[1]
    priced = planned("--gpu", "nvidia-rtx-pro-6000", "--gpu-price", "0.001")["cost"]
    assert priced["usd_per_hour"] == pytest.approx(3600 * (0.001 + 20 * 0.000018 + 80 * 0.000002))


def test_rare_traffic_pays_its_idle_tails() -> None:
    """One request an hour keeps an instance up for a quarter of it: a million tokens cost accordingly more."""
    rare = planned("--rate", str(1 / 3600), "--seconds", "10", "--tokens", "200")
    steady = planned("--rate", "0.5", "--seconds", "10", "--tokens", "200")
    assert 0.2 < rare["scaling"]["up_share"] < 0.25
    assert rare["scaling"]["cold_share"] > 0.7
    assert rare["cost"]["usd_per_million_tokens"] > 100 * steady["cost"]["usd_per_million_tokens"]


def test_traffic_above_the_target_is_no_overload() -> None:
    """With maxScale below what the autoscaler wants, 429s are foretold only where the slots cannot keep up."""
    one = ("--seconds", "4", "--max-instances", "1", "--tokens", "100")
    said = plan(MODEL, "--rate", "0.9", *one)[1]
    assert "above the 60% target, waits as below" in said
    assert "429" not in said
    assert planned("--rate", "0.9", *one)["cost"]["usd_per_million_tokens"] > 0
    assert "429" in plan(MODEL, "--rate", "1.1", *one)[1]
    assert planned("--rate", "1.1", *one)["cost"]["usd_per_million_tokens"] is None


def test_the_cpu_is_counted_where_it_computes() -> None:
    """Without a GPU the plan has the instances that Cloud Run's CPU measure starts, and says so."""
    traffic = ("--rate", "0.5", "--seconds", "4")
    said = plan(MODEL, "--gpu", "cpu", *traffic)[1]
    assert "mostly the CPU decides" in said
    assert "CPUs busy" in said
    assert "CPUs busy" not in plan(MODEL, *traffic)[1]
    assert planned("--gpu", "cpu", *traffic)["scaling"]["instances"] > planned(*traffic)["scaling"]["instances"]


def test_slots_that_a_load_test_measured_are_compared() -> None:
    """Throughput against latency and cost (R31): more slots serve more, each request slower, until one is cheapest."""
    measured = ("--rate", "1", "--tokens", "100", "--measured", "4:6,1:2,8:9", "--max-instances", "9")
    status, said = plan(MODEL, *measured)
    assert status == 0
    assert "cheapest" in said
    choices = planned(*measured)["choices"]
    assert [each["slots"] for each in choices] == [1, 4, 8]
    assert [each["requests_per_second"] for each in choices] == pytest.approx([1 / 2, 4 / 6, 8 / 9])
    assert [each["at_once"] for each in choices] == [2, 8, 16]
    assert all(each["seconds"] >= seconds for each, seconds in zip(choices, (2, 6, 9), strict=True))
    assert choices[2]["instances"] < choices[0]["instances"]
    assert choices[2]["usd_per_million_tokens"] < choices[0]["usd_per_million_tokens"]
    assert planned(*measured)["scaling"]["queue"]["utilisation"] > 0


def test_a_measured_number_that_cannot_be_planned_is_left_out() -> None:
    """More at once than the platform takes: that one is not compared, and the plan says why."""
    measured = ("--rate", "1", "--models", "3", "--measured", "4:6,200:9")
    document = planned(*measured)
    assert [each["slots"] for each in document["choices"]] == [4]
    assert document["choices_left_out"][0].startswith("200 slots: 1200 requests at once")
    assert "not compared, 200 slots" in plan(MODEL, *measured)[1]


@pytest.mark.parametrize("number", ["1e-9", "1e9"])
def test_the_ends_of_numbers_are_planned(number: str) -> None:
    """Every option at its least and at its most ends in a plan, whatever it says, never in a traceback."""
    names = ("cpu", "memory", "gpu-memory", "gpu-price", "rate", "seconds", "load-rate", "around-seconds")
    arguments = [text for name in names for text in (f"--{name}", number)]
    assert plan(MODEL, *arguments, "--tokens", "1")[0] in {0, 1}
    without = [text for name in names if "gpu" not in name for text in (f"--{name}", number)]
    assert plan(MODEL, *without, "--gpu", "cpu", "--max-instances", "1000000000")[0] in {0, 1}


def test_a_start_beyond_the_platform_s_bound_is_told() -> None:
    """A source too slow for 1800 s: the plan says so, and offers no such probe."""
    _, said = plan(MODEL, "--load-rate", "0.05")
    assert "more than the platform waits" in said
    assert "failureThreshold" not in {each["name"] for each in planned("--load-rate", "0.05")["settings"]}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rate", "2"], "go together"),
        (["--rate", "2", "--measured", "2:5"], "--parallel's slots"),
        (["--measured", "1:2"], "give --rate"),
        (["--tokens", "2"], "give --rate and --seconds"),
        (["--min-instances", "4"], "is more than --max-instances"),
        (["--kv-cache-type", "q8_0", "--no-flash-attention"], "OLLAMA_FLASH_ATTENTION"),
        (["--load-rate", "9", "--status", "http://127.0.0.1:1"], "give one"),
        (["--gpu", "cpu", "--gpu-memory", "9"], "--memory"),
        (["--models", "3", "--parallel", "256"], "at most 1000"),
        (["--gpu", "cpu", "--write", str(SERVICE)], "asks for a GPU"),
    ],
)
def test_settings_that_do_not_go_together(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused in one line, with exit status 2."""
    assert plan(MODEL, *arguments)[0] == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--context", "0"],
        ["--rate", "nan"],
        ["--margin", "0.5"],
        ["--parallel", "257"],
        ["--measured", "4"],
        ["--memory", "1e300"],
        ["--gpu-memory", "1e305"],
        ["--load-rate", "1e-320"],
        ["--around-seconds", "1e308"],
    ],
)
def test_numbers_that_are_none(arguments: list[str]) -> None:
    """Refused by their option's name before anything is read."""
    with pytest.raises(SystemExit) as ended:
        plan("nothing.gguf", *arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no url", "http://[::1"])
def test_no_server_there(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A server or an agent that does not answer: one line, exit status 1."""
    assert plan("m", "--url", url)[0] == 1
    assert plan(MODEL, "--status", url)[0] == 1
    assert capsys.readouterr().err.count("\n") == 2


def show(path: Path) -> JSONResponse:
    """Answer as Ollama's /api/show does, with the arrays and tensors of its long form."""
    reader = GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    tensors = [
        {"name": each.name, "type": each.tensor_type.name, "shape": [int(size) for size in each.shape]}
        for each in reader.tensors
    ]
    return JSONResponse({"model_info": fields, "tensors": tensors})


def test_a_running_ollama_tells_the_same_as_the_file(tmp_path: Path) -> None:
    """The shape by /api/show, arrays by layer included, is the file's."""
    path = attention_ggufs.write(tmp_path, "hybrid")
    asked: list[Any] = []

    async def answer(request: Request) -> JSONResponse:
        asked.append(await request.json())
        return show(path)

    with LoopbackServer(Starlette(routes=[Route("/api/show", answer, methods=["POST"])])) as url:
        found = plan("hybrid.gguf", "--url", url, "--format", "json")[1]
    assert asked == [{"model": "hybrid.gguf", "verbose": True}]
    assert json.loads(found)["memory"] == json.loads(plan(str(path), "--format", "json")[1])["memory"]
    assert from_gguf(path).layers[1].key_width


@pytest.mark.parametrize(("status", "body"), [(404, {"error": "model 'm' not found"}), (200, {"modelfile": "x"})])
def test_an_answer_that_is_no_model(status: int, body: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown model, or an answer of another kind: one line, exit status 1."""

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(body, status)

    with LoopbackServer(Starlette(routes=[Route("/api/show", answer, methods=["POST"])])) as url:
        assert plan("m", "--url", url)[0] == 1
    assert "/api/show" in capsys.readouterr().err


def test_the_start_is_measured_by_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    """The rate of the agent's own load, and the rest of its start around it, make the budget."""
    phases = [("agent_up", 0.0, 0.0), ("load", 50.0, 40.0), ("ready", 60.0, 10.0)]
    waterfall = {
        "phases": [{"phase": name, "at_seconds": at, "seconds": took} for name, at, took in phases],
        "load_bytes_per_second": 1_000_000.0,
    }
    agent = {"state": "READY", "since": "2026-11-25T12:00:00+00:00", "agent": {"uptime_seconds": 99.0}}
    agent["waterfall"] = waterfall

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(agent)

    with LoopbackServer(Starlette(routes=[Route("/status", answer)])) as url:
        budget = planned("--status", url)["startup"]
    assert budget["usual"] == pytest.approx(20.0 + from_gguf(Path(MODEL)).weight_bytes / 1e6)


def written(tmp_path: Path, *arguments: str) -> tuple[int, str, Path]:
    """Plan into a copy of the service."""
    path = tmp_path / "service.yaml"
    if not path.exists():
        path.write_text(SERVICE.read_text(encoding="utf-8"), encoding="utf-8")
    return *plan(MODEL, "--write", str(path), *arguments), path


def test_another_models_plan_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service would get a small model's start for a large one; a file without a name is pointed out instead."""
    path = tmp_path / "service.yaml"
    path.write_text(SERVICE.read_text(encoding="utf-8"), encoding="utf-8")
    assert plan("smollm2", "--write", str(path))[0] == 2
    assert "serves gemma3:4b-it-qat, not smollm2" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == SERVICE.read_text(encoding="utf-8")
    assert written(tmp_path)[0] == 0
    assert f"serves gemma3:4b-it-qat: see that {MODEL} is the file of it" in capsys.readouterr().err


def test_a_service_gets_the_settings_and_keeps_its_comments(tmp_path: Path) -> None:
    """Only lines with a value that changed differ; both containers, both probes and the pin agree; lint is content."""
    status, said, path = written(tmp_path, "--context", "4096", "--parallel", "2", "--load-rate", "20")
    assert status == 0
    before, after = SERVICE.read_text().splitlines(), path.read_text().splitlines()
    differing = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(differing) == said.count(" -> ") == 9
    assert "containerConcurrency: 4" in "\n".join(differing)
    assert "              value: gemma3:4b-it-qat@4096" in differing
    assert lint(path.read_text(), "service.yaml") == []
    assert "ops lint" in said


def test_one_option_changes_one_setting(tmp_path: Path) -> None:
    """What no option names stays as the file has it, and is planned with; the table says where each value is from."""
    path = tmp_path / "service.yaml"
    text = SERVICE.read_text(encoding="utf-8").replace("maxScale: '3'", 'maxScale: "20"   # ours')
    text = text.replace("minScale: '0'", "minScale: '1'").replace("disabled: 'true'", "disabled: 'false'")
    text = text.replace("NUM_PARALLEL\n              value: '4'", "NUM_PARALLEL\n              value: '2'")
    text = text.replace("containerConcurrency: 8", "containerConcurrency: 4")
    text = text.replace("accelerator: nvidia-l4", "accelerator: nvidia-rtx-pro-6000").replace(
        "value: '16'", "value: '8'"
    )
    path.write_bytes(text.replace("\n", "\r\n").encode())
    _, said, _ = written(tmp_path, "--context", "2048", "--gpu-price", "0.001")
    changed = text.replace("CONTEXT_LENGTH\n              value: '8192'", "CONTEXT_LENGTH\n              value: '2048'")
    changed = changed.replace("value: gemma3:4b-it-qat@8192", "value: gemma3:4b-it-qat@2048")
    assert path.read_bytes().decode() == changed.replace("\n", "\r\n")
    assert [line.split()[3] for line in said.splitlines() if "maxScale" in line] == ["20"]
    document = planned("--context", "2048", "--gpu-price", "0.001", "--write", str(path))
    sources = {each["name"]: each["source"] for each in document["settings"]}
    assert sources["OLLAMA_CONTEXT_LENGTH"] == "option"
    assert sources["OLLAMA_KV_CACHE_TYPE"] == sources["nodeSelector"] == "file"
    assert sources["containerConcurrency"] == "plan"
    assert document["memory"]["slots"] == 2
    assert {each["name"]: each["source"] for each in planned()["settings"]}["OLLAMA_NUM_PARALLEL"] == "default"


def test_what_decides_the_sum_is_written(tmp_path: Path) -> None:
    """Flash attention, full windows and the prompt cache are settings like the others: printed and written."""
    flags = ("--no-flash-attention", "--no-swa-full", "--prompt-cache", "512", "--kv-cache-type", "f16")
    values = {each["name"]: each["value"] for each in planned(*flags)["settings"]}
    *_, path = written(tmp_path, *flags)
    (ollama, _) = yaml.safe_load(path.read_text())["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each["value"] for each in ollama["env"]}
    for name, value in (("OLLAMA_FLASH_ATTENTION", "0"), ("LLAMA_ARG_SWA_FULL", "0"), ("LLAMA_ARG_CACHE_RAM", "512")):
        assert values[name] == env[name] == value
    untold = {each["name"]: each["value"] for each in planned()["settings"]}
    assert untold["LLAMA_ARG_CACHE_RAM"] == "2048"
    assert "OLLAMA_FLASH_ATTENTION" not in untold
    assert "LLAMA_ARG_SWA_FULL" not in untold


def test_a_file_without_a_gpu_stays_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its plan is for the CPU; a GPU is only planned for where the file has the limit for it."""
    path = tmp_path / "service.yaml"
    text = SERVICE.read_text(encoding="utf-8").replace("              nvidia.com/gpu: '1'\n", "")
    selector = "      nodeSelector:\n        run.googleapis.com/accelerator: nvidia-l4"
    path.write_text(text)
    assert written(tmp_path)[0] == 2
    assert "nvidia.com/gpu: '1'" in capsys.readouterr().err
    path.write_text("\n".join(line for line in text.replace(selector, "").splitlines() if "# 24 GB" not in line))
    before = path.read_text()
    assert "on cpu" in written(tmp_path)[1]
    assert path.read_text() == before
    assert written(tmp_path, "--gpu", "nvidia-l4")[0] == 2


def test_a_file_s_value_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be planned with is refused by its name; the option is the way round it."""
    path = tmp_path / "service.yaml"
    path.write_text(SERVICE.read_text(encoding="utf-8").replace("value: q8_0", "value: q9"))
    assert written(tmp_path)[0] == 2
    said = capsys.readouterr().err
    assert "OLLAMA_KV_CACHE_TYPE" in said
    assert "'q9'" in said
    assert "--kv-cache-type" in said
    assert written(tmp_path, "--kv-cache-type", "q8_0")[0] == 0
    assert "value: q8_0" in path.read_text()


def test_0_in_ollamas_variables_is_unset(tmp_path: Path) -> None:
    """Ollama reads OLLAMA_NUM_PARALLEL=0 as unset: so does the plan, which then sets its own number of slots."""
    path = tmp_path / "service.yaml"
    text = SERVICE.read_text(encoding="utf-8")
    path.write_text(re.sub(r"(name: OLLAMA_NUM_PARALLEL\n +value:) .*", r"\1 '0'", text), encoding="utf-8")
    assert written(tmp_path)[0] == 0


def test_written_twice_is_written_once(tmp_path: Path) -> None:
    """The second time nothing differs, and the file is not touched."""
    *_, path = written(tmp_path, "--context", "4096")
    first = path.stat().st_mtime_ns
    assert "0 changed" in written(tmp_path, "--context", "4096")[1]
    assert path.stat().st_mtime_ns == first


def test_the_service_tells_of_its_instance(tmp_path: Path) -> None:
    """Its CPU, memory and full windows are planned with, unless told otherwise."""
    path = attention_ggufs.write(tmp_path, "sliding_window")
    copy = tmp_path / "service.yaml"
    copy.write_text(SERVICE.read_text(encoding="utf-8"), encoding="utf-8")
    alone = json.loads(plan(str(path), "--format", "json", "--kv-cache-type", "q8_0")[1])
    within = json.loads(plan(str(path), "--format", "json", "--write", str(copy))[1])
    full = json.loads(plan(str(path), "--format", "json", "--swa-full", "--kv-cache-type", "q8_0")[1])
    assert within["memory"]["kv_cache"] == full["memory"]["kv_cache"] > alone["memory"]["kv_cache"]
    assert within["cost"]["usd_per_hour"] == pytest.approx(3600 * 0.0003617, rel=1e-3)


def test_what_does_not_fit_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file stays as it was, and standard error says why."""
    status, _, path = written(tmp_path, "--gpu-memory", "1.6")
    assert status == 1
    assert path.read_bytes() == SERVICE.read_bytes()
    assert "not written" in capsys.readouterr().err


def test_a_variable_from_elsewhere_is_left_and_a_missing_one_added(tmp_path: Path) -> None:
    """A value that a secret holds cannot be written here: it is said; a variable that is not there is added."""
    path = tmp_path / "service.yaml"
    text = SERVICE.read_text(encoding="utf-8")
    queue = "            - name: OLLAMA_MAX_QUEUE\n              value: '16'\n"
    context = "OLLAMA_CONTEXT_LENGTH\n              value: '8192'"
    assert queue in text
    elsewhere = "OLLAMA_CONTEXT_LENGTH\n              valueFrom: {secretKeyRef: {name: s, key: '1'}}"
    path.write_text(text.replace(queue, "").replace(context, elsewhere), encoding="utf-8")
    _, said, _ = written(tmp_path, "--context", "4096")
    assert "comes from elsewhere" in said
    (ollama, _) = yaml.safe_load(path.read_text())["spec"]["template"]["spec"]["containers"]
    values = {each["name"]: each.get("value") for each in ollama["env"]}
    assert values["OLLAMA_MAX_QUEUE"] == "16"


@pytest.mark.parametrize("annotations", ["", "[1]", "text"])
def test_annotations_that_are_none(annotations: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Empty ones are filled; others of another type are refused in one line, and the file stays."""
    text = SERVICE.read_text(encoding="utf-8")
    head, _, rest = text.partition("    metadata:\n      annotations:\n")
    _, _, tail = rest.partition("\n    spec:\n")
    path = tmp_path / "service.yaml"
    path.write_text(f"{head}    metadata:\n      annotations: {annotations}\n    spec:\n{tail}")
    before = path.read_text()
    assert written(tmp_path)[0] == (2 if annotations else 0)
    assert capsys.readouterr().err.count("\n") == 1  # the refusal, or whose file it is
    assert (path.read_text() == before) == bool(annotations)


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("a: [", 1, "cannot be read"),
        ("a: 1\na: 2\n", 1, "cannot be read"),
        ("kind: Service\n", 2, "one container for Ollama"),
        ("- 1\n", 2, "one container for Ollama"),
        (None, 1, "No such file"),
    ],
)
def test_a_file_that_is_no_service(
    text: str | None, status: int, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Told in one line by its name, before a model is read."""
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    assert plan("nothing.gguf", "--write", str(path))[0] == status
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert str(path) in said
