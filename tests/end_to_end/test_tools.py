"""The Tools tab: what it shows is what is in the files, and the files that it writes hold what was asked for."""

import json
import pathlib
import shutil
from collections.abc import Iterator

import pytest
import torch
from playwright.sync_api import Locator, Page, expect

from tests.end_to_end.conftest import reopen
from tests.end_to_end.test_page import open_tab
from tests.trainer.formats import made
from trainer.formats import kohya
from trainer.formats.stranger import open_lora
from trainer.job.settings import Job
from trainer.run import folder

SCRIPT = '<img src=x onerror="document.body.dataset.evil=1"><script>document.body.dataset.evil=2</script>'
METADATA = {
    "ss_tag_frequency": json.dumps({"10_cat": {"mikan cat": 12, SCRIPT: 3}}),
    "modelspec.trigger_phrase": "mikan cat",
    "ss_training_comment": SCRIPT,
    SCRIPT: "a hostile key",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with two LoRAs that can be merged and a DoRA, which cannot."""
    there = tmp_path_factory.mktemp("a folder of files")
    kohya.write(there / "cat.safetensors", made.sd15(), "fp32", METADATA)
    kohya.write(there / "dog.safetensors", made.sd15(seed=1), "fp32", {})
    dora = {**made.sd15()[made.FC1].tensors, "dora_scale": torch.ones(64, 1)}
    kohya.write(there / "dora.safetensors", {made.FC1: made.layer(made.FC1, dora, 1.0)}, "fp32", {})
    return there


def choose(page: Page, tool: str) -> Locator:
    """The part of the page that belongs to a tool, once it is shown."""
    open_tab(page, "tools")
    page.locator(f'.choices [data-tool="{tool}"]').click()
    return page.locator(f"#tool-{tool}")


def test_inspect_shows_what_is_in_a_file_and_lets_none_of_it_do_anything(ui: Page, files: pathlib.Path) -> None:
    tool = choose(ui, "inspect")
    tool.locator("input[name=file]").fill(str(files / "cat.safetensors"))
    tool.locator(".run").click()
    expect(tool.locator(".tiles .family dd")).to_have_text("Stable Diffusion 1.x")
    expect(tool.locator(".tiles .kind dd")).to_contain_text("LoCon")
    expect(tool.locator(".tiles .rank dd")).to_have_text("4 (3), 5 (1)")
    expect(tool.locator(".tiles .layers .more")).to_have_text("1 text encoder · 3 UNet")
    expect(tool.locator(".trigger b")).to_have_text("mikan cat")
    expect(tool.locator(".chips li").first).to_have_text("mikan cat12")
    expect(tool.locator(".readers tr.yes")).to_have_count(5)
    expect(tool.locator(".block")).to_have_count(3)
    tool.locator(".metadata summary").click()
    tool.locator(".metadata input").fill("hostile")
    expect(tool.locator(".metadata tr:visible th")).to_have_text(SCRIPT)
    expect(tool.locator(".note-of-file")).to_have_text(SCRIPT)
    with ui.expect_download() as saved:
        tool.get_by_text("Save as picture").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")
    assert saved.value.suggested_filename == "cat-strength.png"
    assert ui.evaluate("document.body.dataset.evil") is None


def test_two_are_merged_into_a_new_file_that_can_be_looked_at(ui: Page, base_url: str, files: pathlib.Path) -> None:
    tool = choose(ui, "merge")
    for row, name in enumerate(("cat", "dog")):
        tool.locator("input.path").nth(row).fill(str(files / f"{name}.safetensors"))
    tool.locator("input.weight").nth(1).fill("0.5")
    new = files / "cat+dog.safetensors"
    expect(tool.locator("input[name=out]")).to_have_value(str(new))
    tool.locator(".run").click()
    expect(tool.locator(".work")).to_be_visible()
    reopen(ui, base_url)
    open_tab(ui, "tools")
    expect(tool.locator(".written h3")).to_have_text(new.name)
    expect(tool.locator(".written")).to_contain_text("of rank 10", ignore_case=True)
    found, cat, dog = (open_lora(path).layers for path in (new, files / "cat.safetensors", files / "dog.safetensors"))
    wanted = {name: cat[name].delta() + 0.5 * dog[name].delta() for name in cat}
    assert max(made.error(found[name].delta(), wanted[name]) for name in wanted) < 1e-5
    tool.locator(".written").get_by_text("Inspect it").click()
    expect(ui.locator("#tool-inspect .name h2")).to_have_text(new.name)


@pytest.fixture
def of_a_run(outputs: pathlib.Path) -> Iterator[pathlib.Path]:
    """The LoRA file of a run."""
    run = folder.create(outputs, "with a file")
    folder.write_job(run, Job(), {})
    run.weights.mkdir(exist_ok=True)
    kohya.write(run.weights / "with a file.safetensors", made.sd15(rank=8), "fp16", {})
    yield run.weights / "with a file.safetensors"
    shutil.rmtree(run.path)


def test_a_runs_file_is_resized(ui: Page, of_a_run: pathlib.Path) -> None:
    source = of_a_run
    tool = choose(ui, "resize")
    choice = tool.locator("select")
    expect(choice.locator("option", has_text=source.name)).to_have_count(1)
    choice.select_option(label=source.name)
    expect(tool.locator("input[name=file]")).to_have_value(str(source))
    tool.locator("input[name=file]").fill(str(source.parent))
    tool.get_by_text("Browse…").click()
    expect(ui.locator("#file-browser .choose")).to_be_disabled()
    ui.locator("#file-browser .entries button").get_by_text(source.name).click()
    ui.locator("#file-browser .choose").click()
    expect(tool.locator("input[name=file]")).to_have_value(str(source))
    tool.locator("input[name=rank]").fill("none")
    tool.locator(".run").click()
    expect(tool.locator('[data-name="rank"] .problem')).to_be_visible()
    tool.locator("input[name=rank]").fill("2")
    new = source.with_name("with a file-r2.safetensors")
    expect(tool.locator("input[name=out]")).to_have_value(str(new))
    tool.locator(".run").click()
    expect(tool.locator(".written .said")).to_contain_text("% of the change is lost")
    assert {layer.rank for layer in open_lora(new).layers.values()} == {2}


def test_a_refusal_is_the_tools_own_sentence(ui: Page, files: pathlib.Path) -> None:
    tool = choose(ui, "convert")
    tool.locator("input[name=file]").fill(str(files / "dora.safetensors"))
    tool.get_by_text("diffusers, PEFT").click()
    expect(tool.locator("input[name=out]")).to_have_value(str(files / "dora-diffusers.safetensors"))
    tool.locator("input[name=out]").fill(str(files / "cat.safetensors"))
    tool.locator(".run").click()
    expect(tool.locator(".panel.bad")).to_contain_text("not overwritten")
    tool.locator("input[name=file]").fill(str(files / "missing.safetensors"))
    expect(tool.locator(".panel.bad")).to_have_count(0)
