"""Presets through the bar: load, save, download, upload."""

import json
import pathlib

from playwright.sync_api import Page, expect

from app.words import say
from tests.end_to_end.conftest import reopen
from tests.end_to_end.test_page import open_tab


def save_as(page: Page, title: str, purpose: str = "") -> None:
    """Saves what is on the page as a preset of the user's own."""
    page.click("#save-preset")
    page.fill("#save-title input", title)
    page.fill("#save-purpose input", purpose)
    page.click("#save-keep")


def test_saved_presets_can_be_chosen_and_loaded_again(ui: Page, home: pathlib.Path) -> None:
    ui.fill("#f-adapter-rank input", "24")
    save_as(ui, "猫の絵", "For cats")
    expect(ui.locator(".notice.good")).to_contain_text("猫の絵")
    expect(ui.locator("#preset input")).to_have_value("猫の絵 (yours)")
    expect(ui.locator("#purpose")).to_have_text("For cats")
    expect(ui.locator("#changes")).to_have_text("")
    written = json.loads((home / "presets" / "猫の絵.json").read_text(encoding="utf-8"))
    assert (written["title"], written["adapter"]["rank"]) == ("猫の絵", 24)
    ui.fill("#f-adapter-rank input", "4")
    expect(ui.locator("#changes")).to_have_text("1 change")
    ui.click("#load-preset")
    expect(ui.locator("#f-adapter-rank input")).to_have_value("24")


def test_a_loaded_preset_replaces_all_that_was_set_before(ui: Page) -> None:
    ui.fill("#f-adapter-rank input", "24")
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-trigger input", "mikan")
    expect(ui.locator("#changes")).to_have_text("2 changes")
    ui.click("#load-preset")
    expect(ui.locator("#f-dataset-trigger input")).to_have_value("")
    expect(ui.locator("#changes")).to_have_text("")
    expect(ui.locator("#f-adapter-rank input")).not_to_have_value("24")


def test_the_chosen_preset_is_still_chosen_after_reloads_and_changes(ui: Page, base_url: str) -> None:
    save_as(ui, "of today")
    expect(ui.locator(".notice.good")).to_be_visible()
    for rank in ("20", "21"):
        reopen(ui, base_url)
        expect(ui.locator("#preset input")).to_have_value("of today (yours)")
        ui.fill("#f-adapter-rank input", rank)
        expect(ui.locator("#changes")).to_have_text("1 change")


def test_a_preset_is_not_written_over_by_chance(ui: Page, home: pathlib.Path) -> None:
    path = home / "presets" / "mine.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"version": 1, "title": "mine", "adapter": {"rank": 3}}', encoding="utf-8")
    save_as(ui, "mine")
    expect(ui.locator(".notice.error")).to_contain_text("already")
    assert json.loads(path.read_text(encoding="utf-8"))["adapter"]["rank"] == 3


def test_downloaded_and_uploaded_it_is_the_same(ui: Page, tmp_path: pathlib.Path) -> None:
    ui.fill("#f-adapter-rank input", "48")
    ui.fill("#f-output-name input", "round trip")
    with ui.expect_download() as download:
        ui.click("#download-preset")
    assert download.value.suggested_filename == "round trip.json"
    path = tmp_path / "round trip.json"
    download.value.save_as(path)
    ui.click("#load-preset")
    expect(ui.locator("#f-adapter-rank input")).to_have_value("16")
    ui.set_input_files("input[type=file]", path)
    expect(ui.locator("#f-adapter-rank input")).to_have_value("48")
    expect(ui.locator("#f-output-name input")).to_have_value("round trip")
    expect(ui.locator("#changes")).to_have_text("")


def test_unknown_settings_in_a_file_are_named(ui: Page, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "from elsewhere.json"
    path.write_text('{"training": {"epochs": 5, "learnin_rate": 1}, "magic": {}}', encoding="utf-8")
    ui.set_input_files("input[type=file]", path)
    expect(ui.locator(".notice.warning")).to_contain_text("training.learnin_rate")
    expect(ui.locator(".notice.warning")).to_contain_text("magic")
    open_tab(ui, "training")
    expect(ui.locator("#f-training-epochs input")).to_have_value("5")


def test_a_file_that_is_no_preset_is_refused_in_plain_words(ui: Page, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("not JSON <b>at all</b>", encoding="utf-8")
    ui.set_input_files("input[type=file]", path)
    expect(ui.locator(".notice.error")).to_contain_text("not a JSON file")
    path.write_text('{"training": {"epochs": "lots"}}', encoding="utf-8")
    ui.set_input_files("input[type=file]", path)
    expect(ui.locator(".notice.error strong")).to_have_text(say("presets.not_taken", name="broken.json"))


def test_a_file_of_kohyas_fills_the_form_and_is_reported(ui: Page, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "old cat.json"
    path.write_text('{"LoRA_type": "Standard", "network_dim": 40, "color_aug": true, "xformers": true}', "utf-8")
    ui.set_input_files("input[type=file]", path)
    report = ui.locator(".notice.report")
    expect(report).to_contain_text("old cat.json")
    expect(report.locator("details.unsupported")).to_contain_text("color_aug")
    expect(report.locator("details.unsupported li")).to_be_visible()
    expect(report.locator("details.meaningless li")).not_to_be_visible()
    report.locator("details.meaningless summary").click()
    expect(report.locator("details.meaningless li")).to_contain_text("xformers")
    report.get_by_role("button", name="Rank").click()
    expect(ui.locator("#f-adapter-rank input")).to_be_focused()
    expect(ui.locator("#f-adapter-rank input")).to_have_value("40")
    expect(ui.locator("#changes")).to_have_text("")


def test_a_command_can_be_pasted(ui: Page) -> None:
    expect(ui.locator("#pasted")).not_to_be_visible()
    ui.click("#paste-preset")
    ui.fill("#pasted textarea", "nothing of the kind")
    ui.click("#paste-take")
    expect(ui.locator(".notice.error")).to_contain_text("no sd-scripts command")
    ui.fill("#pasted textarea", "accelerate launch train_network.py ^\n --network_dim=20 --wandb_api_key=abcdefgh")
    ui.click("#paste-take")
    expect(ui.locator("#f-adapter-rank input")).to_have_value("20")
    expect(ui.locator("#pasted")).not_to_be_visible()
    expect(ui.locator(".notice.report")).not_to_contain_text("abcdefgh")
