"""What a person sees of a training that is paused, killed or fails, and of errors of the program itself."""

import pathlib
import re
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from app.words import say
from tests.end_to_end.conftest import reopen
from tests.end_to_end.test_live import (
    open_tab,
    small_job,
    steps_shown,
    three_pictures,
    wait_for_steps,
    wait_until_ended,
)
from trainer.job.words import say as trainer_says
from trainer.run import events
from trainer.run.folder import RunFolder, list_runs, request

EPOCHS = 8  # so many that the trainer is still at it when it is killed
STEPS_PER_EPOCH = 6


def state(word: str) -> str:
    return say(f"islands.live_monitor.state_{word}")


@pytest.fixture
def job(ui: Page, outputs: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[Page]:
    """The page with a short training filled in; every training is ended afterwards."""
    before = {run.path for run in list_runs(outputs)}
    small_job(ui, three_pictures(tmp_path))
    open_tab(ui, "training")
    ui.fill("#f-training-epochs input", str(EPOCHS))
    ui.locator("#f-training-epochs input").blur()
    yield ui
    for run in list_runs(outputs):
        if run.path not in before:
            request(run, "stop")
            wait_until_ended(run)


def started(page: Page, outputs: pathlib.Path) -> RunFolder:
    """The run of a training that is begun now."""
    page.click("#start")
    expect(page.locator(".run .state")).to_be_visible()
    return list_runs(outputs)[0]


def kill_trainer(run: RunFolder) -> None:
    for process in psutil.process_iter(["cmdline"]):
        if str(run.path) in (process.info["cmdline"] or []):
            process.kill()
            return
    raise AssertionError("there is no trainer")


def happened(run: RunFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in events.read(run.events)[0] if event["kind"] == kind]


def test_a_training_is_paused_goes_on_is_killed_and_resumed_to_its_end(job: Page, outputs: pathlib.Path) -> None:
    run = started(job, outputs)
    wait_for_steps(job, STEPS_PER_EPOCH + 1)
    pause_and_go_on(job, run)
    samples = {path: path.read_bytes() for path in run.samples.glob("*_e0001_*")}
    assert samples

    kill_trainer(run)
    shown = job.locator(".run .state span")
    expect(shown).to_have_text(state("interrupted"))
    expect(job.locator(".failure strong")).to_have_text(say("interrupted.killed"))
    expect(job.locator(".failure .again")).to_contain_text("after step")
    expect(job.locator(".runs li small").first).to_contain_text(state("interrupted"))
    seen = steps_shown(job)
    job.click(".run .resume")
    expect(job.locator(".failure")).to_be_hidden()
    expect(shown).to_have_text(state("finished"))
    assert steps_shown(job) == EPOCHS * STEPS_PER_EPOCH > seen
    expect(job.locator(".sample-row")).to_have_count(3)
    expect(job.locator(".files li")).to_have_count(EPOCHS + 1)

    assert {path: path.read_bytes() for path in samples} == samples
    losses: dict[int, set[float]] = {}
    for event in happened(run, "step"):
        losses.setdefault(event["step"], set()).add(event["loss"])
    assert sorted(losses) == list(range(1, EPOCHS * STEPS_PER_EPOCH + 1))
    assert all(len(each) == 1 for each in losses.values()), "a step that was done again came out otherwise"


def pause_and_go_on(page: Page, run: RunFolder) -> None:
    shown = page.locator(".run .state span")
    page.click(".run .pause")
    expect(shown).to_have_text(state("paused"))
    expect(page.locator(".run .pause")).to_be_hidden()
    steps = len(happened(run, "step"))
    time.sleep(1)
    assert len(happened(run, "step")) == steps
    page.click(".asks .save")
    expect(page.locator(".asks span")).to_have_text(say("islands.live_monitor.done_save"))
    page.click(".run .resume")
    expect(shown).to_have_text(state("running"))


def test_a_failed_training_says_why_and_leads_to_the_setting(job: Page, outputs: pathlib.Path, base_url: str) -> None:
    open_tab(job, "model")
    job.locator(".advanced-part:visible button.label-wrap").first.click()
    field = job.locator("#f-model-clip_skip input")
    field.fill("12")
    field.blur()
    run = started(job, outputs)
    expect(job.locator(".run .state span")).to_have_text(state("failed"))
    (failed,) = happened(run, "failed")
    expect(job.locator(".failure strong")).to_have_text(failed["reason"])
    expect(job.locator(".failure .advice")).to_have_text(trainer_says("clip_skip_deep_advice"))
    job.locator(".failure .details summary").click()
    expect(job.locator(".failure pre")).to_contain_text("Traceback")
    expect(job.locator(".run .resume")).to_be_visible()

    reopen(job, base_url, clear=True)
    expect(job.locator("#news .row.run")).to_contain_text(state("failed"))
    job.click("#news .show")
    expect(job.locator(".failure strong")).to_have_text(failed["reason"])
    expect(job.locator("#news .row.run")).to_be_hidden()
    job.locator(".failure .remedies button").first.click()
    expect(job.locator("#notice")).to_contain_text(say("run.opened", name=run.name))
    expect(job.locator("#f-model-clip_skip input")).to_have_value("12")
    expect(job.locator("#f-model-clip_skip input")).to_be_focused()


def test_an_error_of_the_program_itself_is_a_sentence_with_its_traceback_in_a_fold(ui: Page) -> None:
    ui.evaluate("document.getElementById('open-run').click()")
    mishap = ui.locator("#news .mishap")
    expect(mishap.locator("strong")).to_have_text(re.compile("JSONDecodeError"))
    expect(ui.locator(".toast-body")).to_have_count(0)
    mishap.locator("summary").click()
    expect(mishap.locator("pre")).to_contain_text("Traceback")
    mishap.locator(".close").click()
    expect(mishap).to_have_count(0)


def test_a_page_of_another_version_says_so(ui: Page) -> None:
    expect(ui.locator("#news .older")).to_be_hidden()
    ui.evaluate("window.ATELIER.version = 'another'")
    open_tab(ui, "dataset")
    expect(ui.locator("#news .older")).to_be_visible()
    ui.click("#news .reload")
    ui.wait_for_function("document.body.dataset.ready === '1'")
    expect(ui.locator("#news .older")).to_be_hidden()
