"""The queue in a real browser: three real trainings of which the second fails, and all that can be done to it."""

import pathlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from app.words import say
from tests.end_to_end.conftest import reopen
from tests.trainer import tiny
from trainer.job.fields import parse
from trainer.run import queue

WORDS = "islands.queue"
HOSTILE = '"><img src=x onerror="window.broken=1"> {{x}} ${y} `z`'


@pytest.fixture
def no_queue(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program's queue, empty before and after."""
    monkeypatch.setenv("LORA_ATELIER_HOME", str(home))
    shutil.rmtree(queue.place(), ignore_errors=True)
    yield
    for entry in queue.entries():
        queue.remove(entry.id)
    queue.hold(False)


def open_tab(page: Page, name: str) -> None:
    page.locator(f'[role=tab][data-tab-id="{name}"]').click()


def row(page: Page, name: str) -> Locator:
    return page.locator(".queue li[data-id]", has=page.get_by_role("button", name=name, exact=True))


def names(page: Page, *expected: str) -> None:
    expect(page.locator(".queue .entry-name")).to_have_text(list(expected))


def add(page: Page, name: str, data: pathlib.Path) -> None:
    """Brings a job of one step into the form and presses Add to queue."""
    values = {
        "output": {"name": name},
        "dataset": {"folder": str(data), "resolution": 64},
        "training": {"steps": 1, "epochs": 0, "text_encoder": False},
        "samples": {"prompts": []},
        "adapter": {"rank": 1, "alpha": 1, "targets": "attention"},
    }
    page.click("#paste-preset")
    page.fill("#pasted textarea", parse(values).model_dump_json())
    page.click("#paste-take")
    expect(page.locator("#f-output-name input")).to_have_value(name)
    page.click("#add-to-queue")
    expect(page.locator("#notice strong")).to_have_text(say("bar.queued", name=name))


@pytest.mark.usefixtures("no_queue")
def test_a_failed_training_says_why_and_does_not_block_the_next(
    ui: Page, tmp_path: pathlib.Path, outputs: pathlib.Path
) -> None:
    good, bad = tiny.pictures(tmp_path / "good", 1), tiny.pictures(tmp_path / "bad", 1)
    queue.hold(True)  # a training this short might end before the next two are added
    add(ui, "q-first", good)
    add(ui, "q-second", bad)
    bad.rename(tmp_path / "vanished")
    add(ui, "q-third", good)
    ui.click('#notice [data-tab="run"]')
    facts = f"{good.name} · 1 step · {queue.find('q-third').id}"
    expect(row(ui, "q-third").locator("small")).to_have_text(f"{say(f'{WORDS}.waiting')} · {facts}")
    ui.click(".queue .hold")
    expect(row(ui, "q-second")).to_have_class("failed")
    expect(row(ui, "q-second").locator("small")).to_contain_text(str(bad))
    expect(ui.locator(".runs .finished .run-name", has_text="q-third")).to_be_visible()
    # Those that are finished are runs like all others, and the queue is only what is still to be seen to.
    names(ui, "q-second")
    expect(ui.locator(".queue .about")).to_have_text(say(f"{WORDS}.count_none"))
    assert (outputs / "q-first" / "weights" / "q-first.safetensors").is_file()
    assert (outputs / "q-third" / "weights" / "q-third.safetensors").is_file()
    row(ui, "q-second").locator(".entry-name").click()
    expect(ui.locator(".run .name h2")).to_have_text("q-second")
    row(ui, "q-second").locator(".remove").click()
    row(ui, "q-second").locator(".remove").click()
    expect(ui.locator(".queue")).to_be_hidden()


@pytest.mark.usefixtures("no_queue")
def test_what_waits_is_reordered_copied_changed_and_taken_out(ui: Page, base_url: str, tmp_path: pathlib.Path) -> None:
    queue.hold(True)
    added = [queue.add(parse({"output": {"name": name}})) for name in ("one", "two", "three")]
    open_tab(ui, "run")
    names(ui, "one", "two", "three")
    expect(ui.locator(".queue .about")).to_have_text(say(f"{WORDS}.held"))
    row(ui, "three").locator(".up").click()
    names(ui, "one", "three", "two")
    row(ui, "two").drag_to(row(ui, "one"))
    names(ui, "two", "one", "three")
    row(ui, "one").locator(".duplicate").click()
    names(ui, "two", "one", "one", "three")
    open_tab(ui, "training")
    ui.fill("#f-training-batch_size input", "5")
    ui.locator("#f-training-batch_size input").blur()
    expect(ui.locator("#changes")).to_contain_text("1")
    open_tab(ui, "run")
    row(ui, "three").locator(".edit").click()
    expect(ui.locator("#edited-entry")).to_contain_text("three")
    open_tab(ui, "training")
    expect(ui.locator("#put-back")).to_be_visible()
    ui.fill("#f-training-batch_size input", "7")
    ui.click("#put-back")
    expect(ui.locator("#put-back")).to_be_hidden()
    names(ui, "two", "one", "one", "three")
    assert queue.find(added[2].id).job.training.batch_size == 7
    # The form is again what it was before.
    expect(ui.locator("#f-output-name input")).not_to_have_value("three")
    expect(ui.locator("#f-training-batch_size input")).to_have_value("5")
    expect(ui.locator("#changes")).to_contain_text("1")
    row(ui, "three").locator(".remove").click()
    expect(row(ui, "three").locator(".remove")).to_have_text(say(f"{WORDS}.sure"))
    ui.click(".queue .about")
    expect(row(ui, "three").locator(".remove")).to_have_text("×")
    row(ui, "three").locator(".remove").click()
    # What is pressed next must not move away before it is let go.
    ui.locator(".queue .about").hover()
    ui.mouse.down()
    expect(row(ui, "three").locator(".remove")).to_have_text(say(f"{WORDS}.sure"))
    ui.mouse.up()
    expect(row(ui, "three").locator(".remove")).to_have_text("×")
    row(ui, "three").locator(".remove").click()
    row(ui, "three").locator(".remove").click()
    names(ui, "two", "one", "one")
    reopen(ui, base_url)
    open_tab(ui, "run")
    names(ui, "two", "one", "one")


@pytest.mark.usefixtures("no_queue")
def test_no_text_of_an_entry_becomes_more_than_text_and_a_damaged_one_is_told_of(ui: Page) -> None:
    queue.hold(True)
    entry = queue.add(parse({}))
    with queue.changing():
        queue.write(entry.but(state="failed", run=f"/nowhere/{HOSTILE.replace('/', '')}", reason=HOSTILE, advice="x"))
    (queue.place() / "img src=x onerror=window.broken=1 \u202egnp.json").write_text("{", encoding="utf-8")
    open_tab(ui, "run")
    expect(ui.locator(".queue .entry-name")).to_have_text(HOSTILE)
    expect(ui.locator(".queue li small")).to_contain_text(HOSTILE)
    expect(ui.locator(".queue .unreadable li")).to_contain_text("img src=x onerror")
    expect(ui.locator(".queue .unreadable li")).to_contain_text("window.broken=1 \ufffdgnp")
    assert ui.evaluate("getComputedStyle(document.querySelector('.gradio-container b')).unicodeBidi") == "isolate"
    assert ui.evaluate("window.broken") is None
    row(ui, HOSTILE).locator(".again").click()
    facts = f"starter · {entry.job.training.epochs} epochs · {entry.id}"
    expect(row(ui, HOSTILE).locator("small")).to_have_text(f"{say(f'{WORDS}.waiting')} · {facts}")
