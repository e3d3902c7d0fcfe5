"""A real training, from Start to Stop, seen in a real browser; and run folders that want to break the page."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.words import say
from tests.end_to_end.conftest import PATIENCE_S, ROOT, opened, reopen
from trainer.job.settings import Job
from trainer.run import events, folder
from trainer.run.folder import RunFolder, is_alive, list_runs, request

HOSTILE = '"><img src=x onerror="window.broken=1"> & 桜 {{x}} ${y} `z`'
PROMPTS = "mecha robot, plain red background --s 2\na big red cat --s 2"


class Gui:
    """The program in a process of its own that can be killed and started again at the same address."""

    def __init__(self, home: pathlib.Path) -> None:
        self.home = home
        self.outputs = home / "outputs"
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts the program and returns once it says that it is ready."""
        command = [sys.executable, "-m", "app", "--port", str(self.port), "--no-browser"]
        command += ["--home", str(self.home / "home"), "--outputs", str(self.outputs)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.address in self.process.stdout.readline()

    def kill(self) -> None:
        """Ends the program without a word of warning."""
        self.process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        if self.process.stdout:
            self.process.stdout.close()


@pytest.fixture
def gui(tmp_path: pathlib.Path) -> Iterator[Gui]:
    """The running program; afterwards it and every training that it started are ended."""
    program = Gui(tmp_path)
    program.start()
    yield program
    program.kill()
    for run in list_runs(program.outputs):
        request(run, "stop")
        wait_until_ended(run)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, in which no error may occur and from which no request may leave this machine."""
    page, wrong = opened(browser), list[str]()
    page.context.on("weberror", lambda error: wrong.append(str(error.error)))
    page.context.on("request", lambda asked: wrong.append(asked.url) if not is_here(asked.url) else None)
    yield page
    page.context.close()
    assert not wrong


def is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def wait_until_ended(run: RunFolder) -> None:
    until = time.monotonic() + PATIENCE_S
    while is_alive(run):
        assert time.monotonic() < until, f"{run.name} goes on"
        time.sleep(0.1)


def open_tab(page: Page, name: str) -> None:
    page.locator(f'[role=tab][data-tab-id="{name}"]').click()


def steps_shown(page: Page) -> int:
    return int(page.locator(".curves").get_attribute("data-points") or 0)


def wait_for_steps(page: Page, steps: int) -> None:
    """Waits until the curve has at least so many points."""
    page.wait_for_function(
        "steps => Number(document.querySelector('.curves')?.dataset.points ?? 0) >= steps",
        arg=steps,
    )


def small_job(page: Page, pictures: pathlib.Path) -> None:
    """Fills in a training of three pictures whose epochs take seconds and that would take minutes to end."""
    page.fill("#f-output-name input", "a robot")
    open_tab(page, "dataset")
    page.fill("#f-dataset-folder input", str(pictures))
    open_tab(page, "training")
    page.fill("#f-training-epochs input", "300")
    page.fill("#f-training-batch_size input", "1")
    open_tab(page, "samples")
    page.fill("#f-samples-prompts textarea", PROMPTS)
    page.locator("#f-samples-prompts textarea").blur()


def three_pictures(parent: pathlib.Path) -> pathlib.Path:
    target = parent / "pictures" / "2_mecha robot"
    target.mkdir(parents=True)
    source = next((ROOT / "trainer" / "starter" / "dataset").iterdir())
    for picture in sorted(source.glob("*.png"))[:3]:
        shutil.copy(picture, target)
        shutil.copy(picture.with_suffix(".txt"), target)
    return target.parent


def test_a_training_is_seen_live_through_reload_second_page_and_a_killed_program(
    gui: Gui, page: Page, tmp_path: pathlib.Path
) -> None:
    reopen(page, gui.address)
    both_tabs_say_what_to_do_first(page)
    small_job(page, three_pictures(tmp_path))
    page.click("#start")
    expect(page.locator(".run .name h2")).to_have_text("a robot")
    wait_for_steps(page, 5)
    expect(page.locator(".run .state span")).to_have_text(say("islands.live_monitor.state_running"))
    expect(page.locator(".run .stop")).to_be_visible()
    thumbnail = page.locator(".sample-row .thumb img").first
    expect(thumbnail).to_be_visible()
    assert thumbnail.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    reopen(page, gui.address)
    open_tab(page, "run")
    wait_for_steps(page, 5)
    second = page.context.new_page()
    reopen(second, gui.address)
    open_tab(second, "run")
    wait_for_steps(second, 5)
    second.close()

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "gradio_api" in request.url else None)
    wait_for_steps(page, steps_shown(page) + 3)
    assert not asked, "the form asks for something though nobody changes it"
    gui.kill()
    expect(page.locator("#news .away")).to_contain_text(f"--port {gui.port}")
    seen = steps_shown(page)
    (run,) = list_runs(gui.outputs)
    assert is_alive(run)
    gui.start()
    expect(page.locator("#news .away")).to_be_hidden()
    wait_for_steps(page, seen + 3)
    reopen(page, gui.address)
    open_tab(page, "run")
    wait_for_steps(page, seen + 3)

    compare_two_epochs(page)
    open_tab(page, "run")
    page.click(".run .stop")
    expect(page.locator(".run .state span")).to_have_text(say("islands.live_monitor.state_stopped"))
    expect(page.locator(".run .resume")).to_be_visible()
    with page.expect_download() as download:
        page.locator(".files a").first.click()
    assert download.value.path().stat().st_size > 10_000
    wait_until_ended(run)
    at_stop = steps_shown(page)

    page.click(".run .resume")
    wait_for_steps(page, at_stop + 2)
    expect(page.locator(".run .state span")).to_have_text(say("islands.live_monitor.state_running"))
    page.click(".run .stop")
    expect(page.locator(".run .resume")).to_be_visible()


def both_tabs_say_what_to_do_first(page: Page) -> None:
    open_tab(page, "run")
    expect(page.locator(".monitor .empty strong")).to_have_text(say("islands.live_monitor.empty"))
    open_tab(page, "compare")
    expect(page.locator(".compare .empty strong")).to_have_text(say("islands.sample_grid.empty"))
    open_tab(page, "model")


def compare_two_epochs(page: Page) -> None:
    """The base row stands first; two pictures can be laid over each other and the bar between them moved by keys."""
    open_tab(page, "compare")
    rows = page.locator(".compare tbody tr")
    expect(rows.nth(1)).to_be_visible()
    expect(rows.first.locator("th")).to_have_text(say("islands.sample_grid.base"))
    rows.nth(0).locator(".cell").first.click(modifiers=["Shift"])
    rows.nth(1).locator(".cell").first.click(modifiers=["Shift"])
    stage = page.locator(".before-after .ba-stage")
    expect(stage).to_be_visible()
    page.keyboard.press("Home")
    expect(stage).to_have_attribute("style", re.compile(r"--cut: 0%"))
    page.keyboard.press("Escape")
    expect(stage).to_be_hidden()
    rows.nth(0).locator(".cell").first.click()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".compare .lb-title")).to_contain_text("Epoch 1")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".compare .lb-text")).to_contain_text("a big red cat")
    page.keyboard.press("Escape")


@pytest.fixture
def hostile_run(outputs: pathlib.Path) -> Iterator[RunFolder]:
    """A failed run whose every text wants to be more than text."""
    run = folder.create(outputs, HOSTILE.replace("/", "").replace('"', "'") if sys.platform != "win32" else "hostile")
    folder.write_job(run, Job(), {})
    run.log.write_text(HOSTILE + "\n", encoding="utf-8")
    log = events.EventLog(run.events)
    lengths = {"first_step": 0, "steps": 4, "steps_per_epoch": 2, "epochs": 2, "pictures": 1}
    log.write(events.Started(name="x", prompts=[HOSTILE], device="cpu", **lengths))
    for epoch in (0, 1):
        file = run.sample_file("x#?%", epoch, 1, 42)
        Image.new("RGB", (128, 128), "teal").save(file)
        made = {"epoch": epoch, "step": epoch * 2, "prompt": 1, "seed": 42, "width_px": 128, "height_px": 128}
        log.write(events.Sample(text=HOSTILE, file=f"samples/{file.name}", **made))
    log.write(events.Step(step=1, epoch=1, loss=0.5, learning_rate=1e-4))
    log.write(events.Warned(text=HOSTILE))
    log.write(
        events.Saved(
            file="weights/x.safetensors", epoch=1, step=1, size_bytes=10, verified=True, largest_relative_error=0.0
        )
    )
    log.write(events.Failed(reason=HOSTILE, advice=HOSTILE))
    yield run
    shutil.rmtree(run.path)


@pytest.fixture
def bare_run(outputs: pathlib.Path) -> Iterator[RunFolder]:
    """A run that was stopped after six steps, before its first sample and file."""
    run = folder.create(outputs, "bare")
    folder.write_job(run, Job(), {})
    log = events.EventLog(run.events)
    log.write(begun(0))
    for step in range(1, 7):
        log.write(events.Step(step=step, epoch=1, loss=0.5, learning_rate=1e-4))
    log.write(events.Stopped(step=6, epoch=1, file=""))
    yield run
    shutil.rmtree(run.path)


def begun(first_step: int) -> events.Started:
    lengths = {"steps": 9, "steps_per_epoch": 9, "epochs": 1, "pictures": 1}
    return events.Started(name="x", prompts=["x"], device="cpu", first_step=first_step, **lengths)


def test_a_run_shows_nothing_of_the_one_before(ui: Page, hostile_run: RunFolder, bare_run: RunFolder) -> None:
    open_tab(ui, "run")
    ui.locator(".run-name", has_text=hostile_run.name).click()
    expect(ui.locator(".sample-row")).to_have_count(2)
    expect(ui.locator(".files li")).to_have_count(1)
    ui.locator(".run-name", has_text=bare_run.name).click()
    expect(ui.locator(".run .name h2")).to_have_text(bare_run.name)
    expect(ui.locator(".samples-card")).to_be_hidden()
    expect(ui.locator(".files li")).to_have_count(0)


def test_what_has_failed_is_told_of_while_something_else_trains(
    ui: Page, bare_run: RunFolder, hostile_run: RunFolder
) -> None:
    bare_run.events.unlink()
    log = events.EventLog(bare_run.events)
    news = ui.locator("#news .row.run")
    with folder.held(bare_run):
        log.write(begun(0))
        log.write(events.Step(step=1, epoch=1, loss=0.5, learning_rate=1e-4))
        log.flush()
        expect(news).to_contain_text(hostile_run.name)
        expect(news).to_contain_text(say("islands.news.state_failed"))
        expect(news).to_contain_text(say("islands.news.more_going", count=1))
        news.locator(".close").click()
        expect(news).to_contain_text(say("islands.news.state_running"))


def test_a_run_is_paused_let_go_on_and_asked_for_things_by_buttons(ui: Page, bare_run: RunFolder) -> None:
    bare_run.events.unlink()
    log = events.EventLog(bare_run.events)

    def asked(button: str, what: str) -> None:
        ui.click(f".run {button}")
        for _ in range(100):
            if folder.take_request(bare_run, what):  # type: ignore[arg-type]
                return
            time.sleep(0.05)
        raise AssertionError(f"nobody asked for {what}")

    with folder.held(bare_run):
        log.write(begun(0))
        log.write(events.Step(step=1, epoch=1, loss=0.5, learning_rate=1e-4))
        log.flush()
        open_tab(ui, "run")
        ui.locator(".run-name", has_text=bare_run.name).click()
        state = ui.locator(".run .state span")
        expect(state).to_have_text(say("islands.live_monitor.state_running"))
        asked(".asks .save", "save")
        expect(ui.locator(".asks span")).to_have_text(say("islands.live_monitor.asked_save"))
        ui.wait_for_timeout(4000)  # a step may last longer than the page remembers a click
        size = {"size_bytes": 1, "verified": True, "largest_relative_error": 0.0}
        log.write(events.Asked(what="save"))
        log.write(events.Saved(file="weights/x-step00000001.safetensors", epoch=1, step=1, **size))
        expect(ui.locator(".asks span")).to_have_text(say("islands.live_monitor.done_save"))
        asked(".asks .sample", "sample")
        ui.click(".run .pause")
        expect(state).to_have_text(say("islands.live_monitor.pausing"))
        log.write(events.Paused(step=1, epoch=1))
        expect(state).to_have_text(say("islands.live_monitor.state_paused"))
        expect(ui.locator(".run .pause")).to_be_hidden()
        assert "pause" in folder.pending(bare_run)
        ui.click(".run .resume")
        for _ in range(100):
            if "pause" not in folder.pending(bare_run):
                break
            time.sleep(0.05)
        log.write(events.Resumed(step=1, epoch=1))
        expect(state).to_have_text(say("islands.live_monitor.state_running"))
        assert "pause" not in folder.pending(bare_run)
        asked(".asks .stop-after-epoch", "stop_after_epoch")
        expect(state).to_have_text(say("islands.live_monitor.stopping_after_epoch"))
        log.write(events.Stopped(step=9, epoch=1, file=""))
    expect(state).to_have_text(say("islands.live_monitor.state_stopped"))
    expect(ui.locator(".asks")).to_be_hidden()


def test_the_time_left_is_that_to_the_end_of_the_epoch_after_which_a_run_is_to_stop(
    ui: Page, bare_run: RunFolder
) -> None:
    bare_run.events.unlink()
    log = events.EventLog(bare_run.events)
    with folder.held(bare_run):
        lengths = {"steps": 40, "steps_per_epoch": 10, "epochs": 4, "pictures": 1}
        log.write(events.Started(name="x", prompts=[], device="cpu", first_step=0, **lengths))
        for step in range(1, 14):
            log.write(events.Step(step=step, epoch=2, loss=0.5, learning_rate=1e-4, training_s=60.0 * step))
        log.flush()
        open_tab(ui, "run")
        ui.locator(".run-name", has_text=bare_run.name).click()
        expect(ui.locator(".run .time")).to_have_text("27 min")
        log.write(events.Asked(what="stop_after_epoch"))
        log.flush()
        expect(ui.locator(".run .time")).to_have_text("7 min 0 s")


def test_steps_that_are_done_again_may_be_under_the_pointer(ui: Page, bare_run: RunFolder) -> None:
    open_tab(ui, "run")
    ui.locator(".run-name", has_text=bare_run.name).click()
    expect(ui.locator(".curves")).to_have_attribute("data-points", "6")
    box = ui.locator(".curves").bounding_box()
    assert box
    ui.mouse.move(box["x"] + box["width"] - 20, box["y"] + 100)
    expect(ui.locator(".reading .step b")).to_have_text("6")
    events.EventLog(bare_run.events).write(begun(2))
    expect(ui.locator(".curves")).to_have_attribute("data-points", "2")


def test_no_text_of_a_run_becomes_more_than_text(ui: Page, hostile_run: RunFolder) -> None:
    open_tab(ui, "run")
    ui.locator(".run-name", has_text=hostile_run.name).click()
    expect(ui.locator(".run .name h2")).to_have_text(hostile_run.name)
    expect(ui.locator(".failure strong")).to_have_text(HOSTILE)
    expect(ui.locator(".warning li")).to_have_text(HOSTILE)
    ui.locator(".failure .details summary").click()
    expect(ui.locator(".failure pre")).to_have_text(HOSTILE)
    ui.locator(".log-card summary").click()
    expect(ui.locator(".log-card pre")).to_have_text(HOSTILE)
    ui.locator(".sample-row .thumb").first.click()
    expect(ui.locator(".monitor .lb-text")).to_have_text(HOSTILE)
    ui.keyboard.press("Escape")
    open_tab(ui, "compare")
    option = ui.locator(".compare select.first option", has_text=hostile_run.name).get_attribute("value")
    ui.locator(".compare select.first").select_option(value=option)
    expect(ui.locator(".compare .prompt")).to_have_text(HOSTILE)
    assert ui.evaluate("window.broken") is None
    for image in ui.locator(".compare td img").all():
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128


@pytest.fixture
def long_run(outputs: pathlib.Path) -> Iterator[RunFolder]:
    """A run with hundreds of samples."""
    run = folder.create(outputs, "long")
    folder.write_job(run, Job(), {})
    Image.new("RGB", (64, 96)).save(run.samples / "first.png")
    log = events.EventLog(run.events)
    for epoch in range(60):
        for prompt in range(1, 9):
            file = run.sample_file("long", epoch, prompt, 42)
            os.link(run.samples / "first.png", file)
            size = {"width_px": 64, "height_px": 96, "seed": 42, "file": f"samples/{file.name}"}
            log.write(events.Sample(epoch=epoch, step=epoch, prompt=prompt, text=f"prompt {prompt}", **size))
    yield run
    shutil.rmtree(run.path)


def test_of_hundreds_of_samples_only_those_in_sight_are_in_the_page(ui: Page, long_run: RunFolder) -> None:
    open_tab(ui, "compare")
    rows, cells = ui.locator(".compare tbody tr"), ui.locator(".compare .cell")
    expect(rows).to_have_count(60)
    expect(rows.first.locator(".cell")).to_have_count(8)
    assert cells.count() < 240
    # By no pointer: rows get their height, and may move, while it is on its way.
    rows.first.locator(".pin").first.dispatch_event("click")
    expect(ui.locator(".compare .chosen span")).to_have_text(say("islands.sample_grid.chosen_one"))
    height = ui.evaluate("document.querySelector('.compare table').offsetHeight")
    ui.evaluate("document.querySelector('.compare .frame').scrollTop = 1e6")
    expect(rows.last.locator(".cell img")).to_have_count(8)
    expect(rows.nth(1).locator(".cell")).to_have_count(0)
    assert cells.count() < 240
    assert abs(ui.evaluate("document.querySelector('.compare table').offsetHeight") - height) < 60
    rows.last.locator(".pin").last.dispatch_event("click")
    expect(ui.locator(".before-after .ba-captions strong")).to_have_count(2)
    ui.keyboard.press("Escape")
    rows.last.locator(".cell").first.click()
    expect(ui.locator(".compare .lb-title")).to_contain_text("59")
    ui.keyboard.press("Escape")
