"""Each setting has one widget, and what the widgets hold is the job that was put into them."""

import asyncio
import json
import pathlib
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import pytest

from app import bar, main, plans, shelf
from app.forms import Form
from trainer.job import fields, presets
from trainer.job.fields import Message
from trainer.job.settings import Job


@pytest.fixture(scope="module")
def form() -> Form:
    """The form of the real page."""
    built = Form(shelf.start_job())
    in_a_loop(lambda: main.build(built))
    return built


def in_a_loop(build: Callable[[], object]) -> None:
    """Builds a page in a running event loop: outside of one gradio makes loops that it never closes.

    In a thread of its own, since browser tests in the same process leave a loop running in this one.
    """

    async def run() -> None:
        build()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, run()).result()


def test_each_setting_is_placed_once_and_in_a_tab(form: Form) -> None:
    assert sorted(form.widgets) == sorted(fields.specs())
    assert set(form.tabs.values()) == {"model", "dataset", "training", "samples"}


def test_a_setting_placed_twice_is_refused() -> None:
    def build() -> None:
        with gr.Blocks():
            form = Form(Job())
            form.place("adapter.rank")
            with pytest.raises(AssertionError, match="twice"):
                form.place("adapter.rank")

    in_a_loop(build)


def test_at_most_twelve_settings_of_the_training_are_basic() -> None:
    basic = [spec for spec in fields.specs().values() if spec.section == "training" and spec.level == "basic"]
    assert len(basic) <= 12


def test_each_widget_shows_title_and_help_and_no_limits_of_its_own(form: Form) -> None:
    for path, widget in form.widgets.items():
        spec = fields.specs()[path]
        assert (widget.label, widget.info) == (spec.title, spec.help)
        assert widget.elem_id == "f-" + path.replace(".", "-")
        assert getattr(widget, "minimum", None) is None
        assert getattr(widget, "maximum", None) is None


@pytest.mark.parametrize("path", sorted(presets.PRESETS.glob("*/*.json")), ids=lambda path: path.stem)
def test_every_preset_survives_the_form(form: Form, path: pathlib.Path) -> None:
    job = presets.read(path).job
    assert form.job(form.fill(job)) == job


def test_what_is_typed_is_judged_by_the_declarations(form: Form) -> None:
    typed = dict(zip(form.widgets, form.fill(Job()), strict=True))
    typed.update({"adapter.rank": 2000.0, "training.learning_rate": "fast", "training.batch_size": None})
    with pytest.raises(fields.Invalid) as caught:
        form.job(list(typed.values()))
    assert {message.path for message in caught.value.messages} == {
        "adapter.rank",
        "training.learning_rate",
        "training.batch_size",
    }


def test_full_width_digits_are_read(form: Form) -> None:
    typed = dict(zip(form.widgets, form.fill(Job()), strict=True))
    typed["training.learning_rate"] = "１ｅ－４"
    assert form.job(list(typed.values())).training.learning_rate == 1e-4


def test_messages_stand_at_their_widgets(form: Form) -> None:
    shown = form.at_fields([Message("adapter.rank", "one"), Message("adapter.rank", "two"), Message("", "nowhere")])
    at = list(form.widgets).index("adapter.rank")
    assert (shown[at]["is_valid"], shown[at]["message"]) == (False, "one\ntwo")
    assert sum(not each["is_valid"] for each in shown) == 1


def test_the_page_knows_where_each_setting_is_and_what_it_is_called(form: Form) -> None:
    facts = json.loads(json.dumps(dict(form.facts())))
    assert facts["tabs"]["adapter.rank"] == "model"
    assert "rank" in facts["find"]["adapter.rank"]
    assert any("training.epochs" in paths for paths in facts["watchers"].values())


@pytest.mark.parametrize("told", ["", "{", "[1]", "null", "[" * 100_000])
def test_what_the_page_tells_without_sense_is_no_value_of_any_field(form: Form, told: str) -> None:
    assert form.known(told, ["training.epochs", "dataset.folder"]) == {"training.epochs": None, "dataset.folder": None}


def test_a_preset_changes_only_the_fields_that_differ_from_what_the_page_has(form: Form) -> None:
    held = dict(zip(form.widgets, form.fill(shelf.read(shelf.STARTER).job), strict=True))
    told = json.dumps({**held, "training.epochs": 77, "dataset.folder": ["no", "text"]})
    filled = dict(zip(form.widgets, bar._load(form, shelf.STARTER, told), strict=False))
    changed = {path for path, value in filled.items() if not isinstance(value, dict)}
    assert changed == {"training.epochs", "dataset.folder"}
    assert filled["training.epochs"] == held["training.epochs"]


def test_no_stylesheet_or_script_asks_another_machine() -> None:
    folder = pathlib.Path(main.__file__).parent
    texts = [
        path.read_text(encoding="utf-8") for kind in ("css", "js", "html", "svg") for path in folder.rglob(f"*.{kind}")
    ]
    assert texts
    assert not [hit for text in texts for hit in re.findall(r"https?://(?!www\.w3\.org/)\S+|@import", text)]


def test_a_job_that_is_partly_wrong_still_has_a_plan() -> None:
    values = {"adapter.rank": 0, "training.epochs": 4, "training.optimizer_args": {"no_such": 1}, "dataset.folder": "x"}
    job, wrong = plans.possible_job(values)
    assert (job.training.epochs, job.dataset.folder, job.adapter.rank) == (4, "x", Job().adapter.rank)
    assert {message.path for message in wrong} == {"adapter.rank", "training.optimizer_args"}


@pytest.mark.parametrize("typed", ["8, 4, 2", "8\n4\n2", "８，４，２", "8 4 2"])
def test_numbers_by_block_are_typed_as_people_write_them(form: Form, typed: str) -> None:
    values = dict(zip(form.widgets, form.fill(Job()), strict=True))
    values["adapter.block_ranks"] = typed
    job = form.job(list(values.values()))
    assert job.adapter.block_ranks == [8, 4, 2]
    assert dict(zip(form.widgets, form.fill(job), strict=True))["adapter.block_ranks"] == "8, 4, 2"


@pytest.mark.parametrize(
    ("path", "typed", "text"),
    [
        ("adapter.block_ranks", "8, 4", "write 3 or 25 of them"),
        ("adapter.block_alphas", "8, 4, x", "must be a number"),
        ("training.block_learning_rates", "1, 1, 1, 1", "write 3 or 25 of them"),
        ("model.base_loras", "a.safetensors=nan", "the weight is no number"),
    ],
)
def test_what_is_wrong_with_a_list_stands_at_its_field(form: Form, path: str, typed: str, text: str) -> None:
    values = dict(zip(form.widgets, form.fill(Job()), strict=True))
    values[path] = typed
    _, wrong = plans.possible_job(form.values(list(values.values())))
    assert [message.path for message in wrong] == [path]
    assert text in wrong[0].text
    at = list(form.widgets).index(path)
    assert not form.at_fields(wrong)[at]["is_valid"]


def test_a_lora_file_that_cannot_be_used_is_named_at_its_field_before_the_start(
    form: Form, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "no-lora.safetensors").write_bytes(b"")
    values = dict(zip(form.widgets, form.fill(Job()), strict=True))
    values["adapter.start_from"] = str(tmp_path / "missing.safetensors")
    values["model.base_loras"] = f"{tmp_path / 'no-lora.safetensors'}=0.5"
    said = {message.path: message.text for message in bar._faults(form, list(values.values()))}
    assert "does not exist" in said["adapter.start_from"]
    assert "0 bytes" in said["model.base_loras"]
