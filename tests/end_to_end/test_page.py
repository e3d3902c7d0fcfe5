"""The page as a whole: it opens, keeps what was typed, shows mistakes where they are, and stays on this machine."""

import contextlib
import http.client
import pathlib
import re
import shutil
import urllib.parse

from playwright.sync_api import Page, expect

from app.words import say
from tests.end_to_end.conftest import PATIENCE_S, reopen
from tests.trainer.job import checkpoints
from trainer.job.settings import Job
from trainer.run import folder


def open_tab(page: Page, name: str) -> None:
    """Shows a tab by the name of its module."""
    page.locator(f'[role=tab][data-tab-id="{name}"]').click()


def test_opens_with_the_starter_preset_and_its_plan(ui: Page) -> None:
    expect(ui.locator("#wordmark")).to_have_text("LoRA Atelier")
    expect(ui.locator("#preset input")).to_have_value(re.compile("Starter"))
    expect(ui.locator("#plan")).to_contain_text("16 pictures")
    expect(ui.locator("#plan")).to_contain_text("384 steps")
    expect(ui.locator("#changes")).to_have_text("")


def test_every_tab_opens_by_mouse_and_by_arrow_keys(ui: Page) -> None:
    for name in ("dataset", "training", "samples", "run", "compare", "tools", "model"):
        open_tab(ui, name)
        expect(ui.locator(f'[role=tab][data-tab-id="{name}"]')).to_have_attribute("aria-selected", "true")
    ui.keyboard.press("ArrowRight")
    expect(ui.locator('[role=tab][data-tab-id="dataset"]')).to_have_attribute("aria-selected", "true")
    ui.keyboard.press("Home")
    expect(ui.locator('[role=tab][data-tab-id="model"]')).to_be_focused()


def test_a_change_is_counted_changes_the_plan_and_survives_a_reload(ui: Page, base_url: str) -> None:
    open_tab(ui, "training")
    ui.fill("#f-training-epochs input", "3")
    expect(ui.locator("#plan")).to_contain_text("144 steps")
    expect(ui.locator("#changes")).to_have_text("1 change")
    reopen(ui, base_url)
    open_tab(ui, "training")
    expect(ui.locator("#f-training-epochs input")).to_have_value("3")
    expect(ui.locator("#changes")).to_have_text("1 change")
    ui.click("#load-preset")
    expect(ui.locator("#f-training-epochs input")).to_have_value("8")
    expect(ui.locator("#changes")).to_have_text("")


def test_a_wrong_field_shows_its_message_at_the_field_and_above(ui: Page) -> None:
    ui.fill("#f-adapter-rank input", "2000")
    open_tab(ui, "training")
    ui.fill("#f-training-learning_rate input", "fast")
    open_tab(ui, "samples")
    ui.click("#start")
    expect(ui.locator(".notice.error strong")).to_have_text("2 settings need a change before it can start")
    ui.locator('[data-go="adapter.rank"]').click()
    expect(ui.locator("#f-adapter-rank div.validation-error")).to_have_text("Rank: must be at most 1024")
    expect(ui.locator("#f-adapter-rank input")).to_be_focused()
    ui.locator('[data-go="training.learning_rate"]').click()
    expect(ui.locator("#f-training-learning_rate div.validation-error")).to_contain_text("must be a number")
    expect(ui.locator('[role=tab][data-tab-id="training"]')).to_have_attribute("aria-selected", "true")


def test_a_missing_pictures_folder_stops_the_start_with_its_sentence(ui: Page, outputs: pathlib.Path) -> None:
    before = sorted(outputs.glob("*"))
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", "nowhere/at all")
    expect(ui.locator("#dataset-overview .problems")).to_contain_text("nowhere")
    ui.click("#start")
    expect(ui.locator("#f-dataset-folder div.validation-error")).to_contain_text("nowhere")
    assert sorted(outputs.glob("*")) == before
    expect(ui.locator("#notice .error")).to_contain_text("nowhere")
    ui.fill("#f-dataset-folder input", "starter")
    expect(ui.locator("#notice .error")).to_have_count(0)


def test_a_number_in_another_spelling_is_no_change(ui: Page) -> None:
    open_tab(ui, "training")
    before = ui.input_value("#f-training-learning_rate input")
    for typed, said in (("0.5", "1 change"), (f"{float(before):.6f}", "")):
        ui.fill("#f-training-learning_rate input", typed)
        ui.locator("#f-training-learning_rate input").blur()
        expect(ui.locator("#changes .count")).to_have_text(said)


def test_settings_of_another_adapter_are_hidden_until_it_is_chosen(ui: Page) -> None:
    for adapter, shown in (("^LoRA", False), ("^LoCon", True)):
        ui.click("#f-adapter-type input")
        ui.get_by_role("option", name=re.compile(adapter)).click()
        expect(ui.locator("#f-adapter-conv_rank")).to_be_visible(visible=shown)


def test_search_leaves_only_the_settings_that_match(ui: Page) -> None:
    open_tab(ui, "training")
    ui.locator(".advanced-part:visible button.label-wrap").click()
    ui.locator("input.find:visible").press_sequentially("noise")
    expect(ui.locator("#f-training-noise_offset")).to_be_visible()
    expect(ui.locator("#f-training-max_grad_norm")).to_be_hidden()
    ui.locator("input.find:visible").fill("zzz")
    expect(ui.locator(".search .none:visible")).to_have_text(say("form.search_none"))


def test_the_base_model_is_checked_while_it_is_typed(ui: Page) -> None:
    ui.fill("#f-model-base input", "no such model")
    expect(ui.locator(".note .bad").first).to_contain_text("no such model")
    ui.fill("#f-model-base input", "starter")
    expect(ui.locator(".note .fine").first).to_contain_text("starter")


def test_a_chosen_file_sets_the_family_and_says_what_it_is(ui: Page, tmp_path: pathlib.Path) -> None:
    family = ui.locator("#f-model-family input")
    path = checkpoints.write(tmp_path / "anime_vpred.safetensors", checkpoints.SDXL)
    ui.fill("#f-model-base input", str(path))
    expect(family).to_have_value("Stable Diffusion XL")
    expect(ui.locator(".note .fine").first).to_contain_text(
        "Stable Diffusion XL, v prediction (going by the file's name)"
    )
    ui.fill("#f-model-base input", str(checkpoints.write(tmp_path / "b.safetensors", checkpoints.REFINER)))
    expect(ui.locator(".note .bad").first).to_contain_text("is the refiner of SDXL")
    ui.fill("#f-model-base input", str(checkpoints.write(tmp_path / "c.safetensors", checkpoints.SD15)))
    expect(family).to_have_value("Stable Diffusion 1.x")
    ui.fill("#f-model-base input", "starter")
    expect(ui.locator(".note .fine").first).to_contain_text("starter")


def test_no_sideways_scrolling_on_a_phone(ui: Page) -> None:
    ui.set_viewport_size({"width": 390, "height": 844})
    try:
        for name in ("model", "dataset", "training", "samples", "run", "compare", "tools"):
            open_tab(ui, name)
            ui.wait_for_timeout(150)
            assert ui.evaluate("document.documentElement.scrollWidth") <= 390, name
    finally:
        ui.set_viewport_size({"width": 1440, "height": 900})


def test_a_foreign_host_name_is_refused(base_url: str) -> None:
    address = urllib.parse.urlsplit(base_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/", headers={"Host": "evil.example"})
        assert connection.getresponse().status == 400


def test_thumbnails_need_a_signed_address(ui: Page, base_url: str) -> None:
    answer = ui.request.get(f"{base_url}/thumb?path=/etc/hostname&px=256&key=0")
    assert (answer.status, answer.text()) == (403, "")


def test_a_second_training_is_not_started_by_chance(ui: Page, outputs: pathlib.Path) -> None:
    other = folder.create(outputs, "the other one")
    folder.write_job(other, Job(), {})
    with folder.held(other):
        ui.click("#start")
        expect(ui.locator(".notice.warning")).to_contain_text("the other one")
        presses = [say("bar.queue_instead"), say("bar.start_anyway")]
        expect(ui.locator(".notice.warning [data-press]")).to_have_text(presses)
    assert [run.name for run in folder.list_runs(outputs)] == ["the other one"]
    shutil.rmtree(other.path)
