"""What is entered for a tool becomes its command line, and nothing that is wrong becomes one."""

import pathlib
from typing import Any

import pytest

from app import places
from app.tool_form import MAX_NAME_BYTES, Wrong, arguments, proposal, run_files
from app.words import say
from trainer.__main__ import parser
from trainer.job.settings import Job
from trainer.run import folder

LORA = {"file": "/loras/cat.safetensors", "out": "/loras/new.safetensors"}
FILES = [{"path": "/loras/cat.safetensors", "weight": "0.8"}, {"path": "", "weight": "1"}, {"path": "/b.safetensors"}]


def options(tool: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the tool's own command line reads from it."""
    words, _ = arguments(tool, values)
    return vars(parser().parse_args(words))


@pytest.mark.parametrize(("values", "asks"), [({}, False), ({"network": "on"}, True)])
def test_the_doctor_looks_where_the_page_lives_and_at_the_network_only_when_asked(
    values: dict[str, Any], asks: bool
) -> None:
    found = options("doctor", values)
    assert (found["json"], found["no_network"]) == (True, not asks)
    assert (found["home"], found["outputs"]) == (places.home(), places.default_outputs())


def test_a_try_is_made_with_the_run_that_the_file_is_of(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "猫")
    file = run.weights / "猫-000003.safetensors"
    values = {"file": str(file), "weights": "0, -0.5  1", "prompts": "a cat --s 4\n\n--n x\0\n"}
    with pytest.raises(Wrong, match="from a run"):
        arguments("try", values)
    folder.write_job(run, Job(), {})
    found = options("try", values)
    assert (found["run"], found["file"]) == (run.path, str(file))
    assert found["weights"] == [0, -0.5, 1]
    assert found["prompts"] == ["a cat --s 4", "--n x"]
    assert options("try", {"file": str(file)})["weights"] is None
    assert arguments("try", values)[1] == run.tries_grid(file)
    for weights in ("strong", "nan", "101"):
        with pytest.raises(Wrong) as error:
            arguments("try", {**values, "weights": weights})
        assert error.value.field == "weights"


@pytest.mark.parametrize(
    ("tool", "values", "read"),
    [
        ("inspect", {"file": "/a b.safetensors"}, {"file": pathlib.Path("/a b.safetensors"), "json": True}),
        ("convert", {**LORA, "to": "peft", "precision": "bf16"}, {"to": "peft", "precision": "bf16"}),
        ("convert", {**LORA, "precision": ""}, {"to": "kohya", "precision": None}),
        ("resize", {**LORA, "how": "rank", "rank": "８"}, {"rank": 8, "keep": None}),
        ("resize", {**LORA, "how": "keep", "rank": "8", "keep": "95 %"}, {"rank": None, "keep": 0.95}),
        (
            "merge",
            {"files": FILES, "how": "exact", "rank": "4", "out": "/c"},
            {"rank": None, "files": ["/loras/cat.safetensors=0.8", "/b.safetensors=1.0"]},
        ),
        ("merge", {"files": FILES, "how": "rank", "rank": "4", "out": "/c"}, {"rank": 4, "checkpoint": None}),
        (
            "merge",
            {"files": FILES, "checkpoint": "/base.safetensors", "how": "rank", "rank": "x", "out": "/c"},
            {"rank": None, "checkpoint": pathlib.Path("/base.safetensors")},
        ),
        ("extract", {"tuned": "/t", "base": "/b", "rank": "32", "out": "/c"}, {"rank": 32, "conv_rank": None}),
        ("extract", {"tuned": "/t", "base": "/b", "rank": "32", "conv_rank": "8", "out": "/c"}, {"conv_rank": 8}),
    ],
)
def test_the_command_line_says_what_was_entered(tool: str, values: dict[str, Any], read: dict[str, Any]) -> None:
    found = options(tool, values)
    assert found["tool"] == tool
    assert {name: found[name] for name in read} == read


@pytest.mark.parametrize(
    ("tool", "values", "field", "key"),
    [
        ("inspect", {}, "file", "no_file"),
        ("inspect", {"file": ["/a"]}, "", ""),
        ("convert", {"file": "/a"}, "out", "no_out"),
        ("merge", {"files": [{"path": " "}]}, "files", "no_files"),
        ("merge", {"files": "all"}, "files", "no_files"),
        ("merge", {"files": [{"path": "/a", "weight": "much"}]}, "files", "bad_weight"),
        ("merge", {"files": [{"path": "/a", "weight": "nan"}]}, "files", "bad_weight"),
        ("resize", {**LORA, "rank": "0"}, "rank", "bad_rank"),
        ("resize", {**LORA, "rank": "2.5"}, "rank", "bad_rank"),
        ("resize", {**LORA, "rank": "9" * 5000}, "rank", "bad_rank"),
        ("resize", {**LORA, "file": "\0", "rank": "8"}, "file", "no_file"),
        ("resize", {**LORA, "how": "keep", "keep": "101"}, "keep", "bad_share"),
        ("extract", {"tuned": "/a", "rank": "8"}, "base", "no_file"),
        ("extract", {"tuned": "/a", "base": "/b", "rank": "8", "conv_rank": "x"}, "conv_rank", "bad_rank"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(tool: str, values: dict[str, Any], field: str, key: str) -> None:
    if not key:
        assert arguments(tool, values)[0][1].startswith("/")
        return
    with pytest.raises(Wrong) as wrong:
        arguments(tool, values)
    assert wrong.value.field == field
    assert str(wrong.value).startswith(say(f"tools.{key}", text="{", number="{").partition("{")[0])


def test_a_new_file_always_ends_like_one() -> None:
    assert arguments("convert", {**LORA, "out": "/loras/v1.5"})[1] == pathlib.Path("/loras/v1.5.safetensors")


def test_the_new_file_lies_beside_the_first_and_is_new(tmp_path: pathlib.Path) -> None:
    cat = {"file": str(tmp_path / "cat.safetensors"), "how": "rank", "rank": "16"}
    assert proposal("resize", cat) == str(tmp_path / "cat-r16.safetensors")
    (tmp_path / "cat-r16.safetensors").touch()
    assert proposal("resize", cat) == str(tmp_path / "cat-r16-2.safetensors")
    assert proposal("resize", {}) == proposal("inspect", cat) == proposal("merge", {"files": []}) == ""


@pytest.mark.parametrize(
    ("tool", "values", "name"),
    [
        ("resize", {"file": "/a/cat.safetensors", "how": "keep", "keep": "95"}, "cat-keep95"),
        ("convert", {"file": "/a/cat.safetensors", "to": "peft"}, "cat-diffusers"),
        ("convert", {"file": "/a/cat.safetensors", "precision": "fp16"}, "cat-kohya-fp16"),
        ("convert", {"file": "/a/old model.ckpt", "to": "kohya"}, "old model"),
        ("merge", {"files": FILES}, "cat+b"),
        ("merge", {"files": FILES, "how": "rank", "rank": "8"}, "cat+b-r8"),
        ("merge", {"files": FILES[:1]}, "cat-weighted"),
        ("merge", {"files": FILES, "checkpoint": "/m/base.safetensors", "how": "rank", "rank": "8"}, "base+cat+b"),
        ("extract", {"tuned": "/m/anime.safetensors", "rank": "32"}, "anime-lora-r32"),
        ("resize", {"file": "/a/cat.safetensors", "rank": "a/b"}, "cat-ra-b"),
    ],
)
def test_the_name_says_what_was_done(tool: str, values: dict[str, Any], name: str) -> None:
    assert pathlib.Path(proposal(tool, values)).name == f"{name}.safetensors"


def test_a_long_name_is_cut_to_what_a_name_may_be() -> None:
    files = [{"path": f"/a/{'猫' * 60}{n}.safetensors"} for n in range(3)]
    name = pathlib.Path(proposal("merge", {"files": files})).name
    assert len(name.encode()) <= MAX_NAME_BYTES + len(".safetensors")


def test_runs_with_files_are_offered_newest_first(tmp_path: pathlib.Path) -> None:
    for number, name in enumerate(("one", "two", "none")):
        run = folder.create(tmp_path / "outputs", name)
        folder.write_job(run, Job(), {})
        if name != "none":
            run.weights.mkdir(exist_ok=True)
            (run.weights / f"{name}.safetensors").touch()
            folder.os.utime(run.weights / f"{name}.safetensors", (number, number))
    found = run_files()
    assert [run["run"] for run in found] == ["two", "one"]
    assert found[0]["files"] == [
        {"name": "two.safetensors", "path": str(tmp_path / "outputs/two/weights/two.safetensors")}
    ]
