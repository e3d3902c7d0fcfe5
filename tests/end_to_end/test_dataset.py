"""The Dataset tab and the file browser."""

import os
import pathlib

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from app.words import say
from tests.end_to_end.test_page import open_tab

NASTY = '<img src=x onerror="window.hit=1"> `${window.hit=1}` {{value}}'


@pytest.fixture(scope="module")
def pictures(playground: pathlib.Path) -> pathlib.Path:
    """A pictures folder with two subsets, wide and tall pictures, and a caption that would like to be HTML."""
    folder = playground / "my pictures"
    for name, size in (("3_ねこ", (512, 320)), ("2_dog", (320, 512))):
        (folder / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", size, (60 * number, 120, 200)).save(folder / name / f"{number}.png")
            (folder / name / f"{number}.txt").write_text(NASTY if number == 0 else "夕方の猫", encoding="utf-8")
    return folder


def test_the_starter_data_set_is_shown(ui: Page) -> None:
    open_tab(ui, "dataset")
    grid, overview = ui.locator("#dataset-grid"), ui.locator("#dataset-overview")
    expect(overview.locator("tbody tr")).to_have_count(1)
    expect(overview.locator("tbody tr")).to_contain_text("12_mecha robot")
    expect(grid.locator(".tile")).to_have_count(16)
    expect(overview.locator(".box")).to_have_count(1)
    ui.wait_for_function("document.querySelector('#dataset-grid .tile img').naturalWidth > 0")


def test_the_file_browser_fills_the_folder_and_stays_in_its_roots(ui: Page, pictures: pathlib.Path) -> None:
    open_tab(ui, "dataset")
    ui.locator("#f-dataset-folder .custom-button").click()
    dialog = ui.locator("#file-browser dialog")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".crumbs button").first).to_have_text(pictures.parent.name)
    ui.keyboard.press("Backspace")
    expect(dialog.locator(".crumbs button")).to_have_count(1)
    dialog.locator(".entries button", has_text="my pictures").click()
    expect(dialog.locator(".entries button").first).to_contain_text("3 pictures")
    dialog.locator("button.choose").click()
    expect(dialog).to_be_hidden()
    expect(ui.locator("#f-dataset-folder input")).to_have_value(str(pictures))
    expect(ui.locator("#dataset-overview tbody tr")).to_have_count(2)
    expect(ui.locator("#plan")).to_contain_text("15 with repeats")


def test_captions_are_text_and_can_be_changed(ui: Page, pictures: pathlib.Path) -> None:
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(pictures))
    tile = ui.locator("#dataset-grid .tile", has_text="onerror").first
    expect(tile).to_contain_text(NASTY.split("`")[0].strip())
    tile.click()
    dialog = ui.locator("#dataset-grid dialog")
    expect(dialog.locator("textarea")).to_have_value(NASTY)
    dialog.locator("textarea").fill("白い猫、\n窓辺")
    dialog.locator("button.save").click()
    expect(dialog.locator(".state")).to_contain_text("0.txt")
    name = dialog.locator("#picture-name").inner_text()
    ui.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert name == "0.png"
    texts = {(pictures / subset / "0.txt").read_text(encoding="utf-8") for subset in ("3_ねこ", "2_dog")}
    assert "白い猫、 窓辺\n" in texts
    assert ui.evaluate("window.hit") is None


def test_all_lines_of_a_caption_are_shown_and_kept_with_wildcards(ui: Page, pictures: pathlib.Path) -> None:
    caption = pictures / "2_dog" / "2.txt"
    caption.write_text("a dog\nan {old|young} dog\n", encoding="utf-8")
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(pictures / "2_dog"))
    ui.locator(".advanced-part:visible button.label-wrap").click()
    ui.locator("#f-dataset-wildcards input").check()
    tile = ui.locator("#dataset-grid .tile", has_text="young")
    expect(tile).to_have_count(1)
    tile.click()
    dialog = ui.locator("#dataset-grid dialog")
    expect(dialog.locator("textarea")).to_have_value("a dog\nan {old|young} dog")
    dialog.locator("textarea").fill("a dog\nan {old|young|grey} dog")
    dialog.locator("button.save").click()
    expect(dialog.locator(".state")).to_contain_text("2.txt")
    assert caption.read_text(encoding="utf-8") == "a dog\nan {old|young|grey} dog\n"
    ui.keyboard.press("Escape")


def test_all_folders_of_pictures_can_be_browsed_for(ui: Page) -> None:
    open_tab(ui, "dataset")
    ui.locator(".advanced-part:visible button.label-wrap").click()
    for name in ("regularisation_folder", "mask_folder"):
        field = ui.locator(f"#f-dataset-{name}")
        field.locator("[data-testid=block-info]").click()  # a field's name leads to the field, not to its button
        expect(field.locator("input")).to_be_focused()
        field.locator(".custom-button").click()
        expect(ui.locator("#file-browser dialog")).to_be_visible()
        ui.keyboard.press("Escape")
        expect(ui.locator("#file-browser dialog")).to_be_hidden()


def test_a_caption_is_kept_when_the_next_picture_is_shown(ui: Page, pictures: pathlib.Path) -> None:
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(pictures / "2_dog"))
    tiles = ui.locator("#dataset-grid .tile")
    expect(tiles).to_have_count(3)
    tiles.nth(1).click()
    ui.locator("#dataset-grid textarea").fill("a dog at dusk")
    ui.locator("#dataset-grid .step.next").click()
    expect(ui.locator("#picture-name")).to_have_text("2.png")
    expect(tiles.nth(1)).to_contain_text("a dog at dusk")
    assert (pictures / "2_dog" / "1.txt").read_text(encoding="utf-8") == "a dog at dusk\n"
    ui.keyboard.press("Escape")
    expect(tiles.nth(2)).to_be_focused()


@pytest.mark.parametrize("leave", ["Escape", "×"])
def test_a_caption_is_kept_when_its_picture_is_left(ui: Page, pictures: pathlib.Path, leave: str) -> None:
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(pictures / "2_dog"))
    expect(ui.locator("#dataset-grid .tile")).to_have_count(3)
    ui.locator("#dataset-grid .tile").nth(1).click()
    ui.locator("#dataset-grid textarea").fill(f"left by {leave}")
    if leave == "Escape":
        ui.keyboard.press("Escape")
    else:
        ui.click("#dataset-grid dialog .close")
    expect(ui.locator("#dataset-grid dialog")).to_be_hidden()
    expect(ui.locator("#dataset-grid .tile").nth(1)).to_contain_text(f"left by {leave}")
    assert (pictures / "2_dog" / "1.txt").read_text(encoding="utf-8") == f"left by {leave}\n"


def test_a_caption_that_cannot_be_saved_stays_until_its_picture_is_left_once_more(
    ui: Page, pictures: pathlib.Path
) -> None:
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(pictures / "2_dog"))
    expect(ui.locator("#dataset-grid .tile")).to_have_count(3)
    ui.locator("#dataset-grid .tile").nth(1).click()
    ui.locator("#dataset-grid textarea").fill("typed in vain")
    ui.route("**/component_server/", lambda route: route.fulfill(status=200, body="null"))
    ui.click("#dataset-grid dialog .close")
    expect(ui.locator("#dataset-grid .state")).to_have_text(say("islands.dataset_grid.unsaved"))
    expect(ui.locator("#dataset-grid textarea")).to_have_value("typed in vain")
    ui.unroute("**/component_server/")
    ui.click("#dataset-grid dialog .close")
    expect(ui.locator("#dataset-grid dialog")).to_be_hidden()


def test_a_caption_goes_to_the_picture_that_was_shown_with_it(ui: Page, pictures: pathlib.Path) -> None:
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(pictures / "2_dog"))
    expect(ui.locator("#dataset-grid .tile")).to_have_count(3)
    ui.locator("#dataset-grid .tile").nth(1).click()
    ui.locator("#dataset-grid textarea").fill("typed meanwhile")
    other = "field => { field.value = 'starter'; field.dispatchEvent(new Event('input', {bubbles: true})); }"
    ui.locator("#f-dataset-folder input").evaluate(other)
    expect(ui.locator("#dataset-grid .tile")).to_have_count(16)
    ui.keyboard.press("Escape")
    expect(ui.locator("#dataset-grid dialog")).to_be_hidden()
    assert (pictures / "2_dog" / "1.txt").read_text(encoding="utf-8") == "typed meanwhile\n"


def test_one_click_chooses_the_folder_that_was_meant(ui: Page, playground: pathlib.Path) -> None:
    meant = playground / "project" / "img"
    (meant / "5_cat").mkdir(parents=True)
    Image.new("RGB", (512, 512), "orange").save(meant / "5_cat" / "1.png")
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(meant.parent))
    problem = ui.locator("#dataset-overview .problems li.error")
    expect(problem).to_contain_text(f"Choose {meant} as the pictures folder")
    problem.locator("button").click()
    expect(ui.locator("#f-dataset-folder input")).to_have_value(str(meant))
    expect(ui.locator("#dataset-grid .tile")).to_have_count(1)
    expect(problem).to_have_count(0)


def test_problems_say_what_to_do_and_an_empty_folder_explains_itself(ui: Page, playground: pathlib.Path) -> None:
    (playground / "nothing").mkdir()
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(playground / "nothing"))
    expect(ui.locator("#dataset-overview .problems li.error")).to_have_count(1)
    expect(ui.locator("#dataset-grid .more.empty")).to_contain_text("10_name")
    expect(ui.locator("#plan")).to_contain_text("No pictures")


def test_a_problem_leads_to_the_setting_that_it_is_about(ui: Page, playground: pathlib.Path) -> None:
    folder = playground / "damaged" / "1_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "0.png")
    for name in ("1.png", "2.png"):
        (folder / name).write_bytes(b"no picture")
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(folder.parent))
    expect(ui.locator("#dataset-overview .problems li.error")).to_have_count(2)
    ui.locator("#dataset-overview .problems button").click()
    expect(ui.locator("#f-dataset-broken_pictures")).to_be_in_viewport()


def test_of_thousands_of_pictures_only_those_in_sight_are_in_the_page(ui: Page, playground: pathlib.Path) -> None:
    folder = playground / "many" / "1_cat"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(folder / "0.png")
    for number in range(1, 3000):
        os.link(folder / "0.png", folder / f"{number}.png")
    (folder / "2999.txt").write_text("猫" * 3000, encoding="utf-8")
    open_tab(ui, "dataset")
    ui.fill("#f-dataset-folder input", str(folder.parent))
    tiles = ui.locator("#dataset-grid .tile")
    expect(ui.locator("#dataset-overview tbody")).to_contain_text("3,000")
    expect(tiles.first).to_have_attribute("title", "0.png")
    assert tiles.count() < 200
    ui.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(tiles.last).to_have_attribute("title", "2999.png")
    assert tiles.count() < 200
    expect(tiles.first).not_to_have_attribute("title", "0.png")
    tiles.last.click()
    expect(ui.locator("#dataset-grid textarea")).to_have_value("猫" * 3000)
    ui.keyboard.press("Escape")
    ui.evaluate("scrollTo(0, 0)")
    expect(tiles.first).to_have_attribute("title", "0.png")
