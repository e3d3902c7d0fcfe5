"""Nobody gets in: other pages, other machines, and scripts in whatever is shown."""

import http.server
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from app.words import say
from tests.end_to_end.conftest import PATIENCE_S, ROOT, address_of, opened, reopen
from trainer.job.settings import Job
from trainer.run import events, folder

SCRIPT = '"><img src=x onerror="window.ran=1"><script>window.ran=1</script>\'{{window.ran=1}}${window.ran=1}'
NAME = "a'><img src=x onerror=window.ran=1>{{x}}${window.ran=1}"
"""The same as a file may be called: without what ends a folder's name."""
PASSWORD = "a password for tests"


@pytest.fixture
def hostile_run(outputs: pathlib.Path) -> Iterator[folder.RunFolder]:
    """A run in which everything that a person or a file can say is a script."""
    run = folder.create(outputs, NAME)
    folder.write_job(run, Job.model_validate({"samples": {"prompts": [SCRIPT]}}), {})
    log = events.EventLog(run.events)
    lengths = {"first_step": 0, "steps": 2, "steps_per_epoch": 2, "epochs": 1, "pictures": 1}
    log.write(events.Started(name=SCRIPT, prompts=[SCRIPT], device=SCRIPT, **lengths))
    log.write(events.Stage(text=SCRIPT))
    log.write(events.Step(step=1, epoch=1, loss=0.5, learning_rate=1e-4))
    log.write(events.Warned(text=SCRIPT))
    picture = run.samples / f"{NAME}.png"
    Image.new("RGB", (64, 64), "teal").save(picture)
    shown = {"seed": 42, "file": f"samples/{picture.name}", "width_px": 64, "height_px": 64}
    log.write(events.Sample(epoch=1, step=1, prompt=1, text=SCRIPT, **shown))
    write_lora(run.weights / f"{NAME}.safetensors")
    file = f"weights/{NAME}.safetensors"
    log.write(events.Saved(file=file, epoch=1, step=1, size_bytes=1, verified=True, largest_relative_error=0.0))
    log.write(events.Failed(reason=SCRIPT, advice=SCRIPT))
    run.log.write_text(SCRIPT + "\n", encoding="utf-8")
    yield run
    shutil.rmtree(run.path)


def write_lora(path: pathlib.Path) -> None:
    """A LoRA of one layer, whose metadata are scripts."""
    said = {
        **dict.fromkeys(("modelspec.title", "modelspec.author", "modelspec.license", "modelspec.tags"), SCRIPT),
        **dict.fromkeys(("modelspec.trigger_phrase", "modelspec.description", "modelspec.usage_hint"), SCRIPT),
        SCRIPT: SCRIPT,
        "ss_tag_frequency": json.dumps({NAME: {SCRIPT: 3}}),
        "ss_training_comment": SCRIPT,
    }
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    shapes = {f"{layer}.lora_down.weight": [4, 320], f"{layer}.lora_up.weight": [320, 4]}
    header, end = {"__metadata__": said}, 0
    for name, shape in shapes.items():
        size = 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}  # type: ignore[dict-item]
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def tab(page: Page, name: str) -> None:
    """Shows a tab."""
    page.locator(f'[role=tab][data-tab-id="{name}"]').click()


def harmless(page: Page) -> None:
    """Nothing that was shown has run or become an element."""
    assert page.evaluate("window.ran") is None
    assert page.locator("img[onerror]").count() == 0


def fill(page: Page, path: str, text: str) -> None:
    """Types `text` into a setting."""
    field = page.locator(f"#f-{path.replace('.', '-')}").locator("input, textarea").first
    field.fill(text)
    field.blur()


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be given there")
def test_scripts_in_what_is_shown_of_a_run_do_not_run(ui: Page, hostile_run: folder.RunFolder) -> None:
    tab(ui, "run")
    ui.locator("#live-monitor .runs li", has_text="onerror").first.click()
    expect(ui.locator("#live-monitor h2").nth(1)).to_have_text(NAME)
    expect(ui.locator("#live-monitor .failure strong")).to_contain_text("<script>")
    expect(ui.locator("#live-monitor .warning")).to_contain_text("<script>")
    ui.locator("#live-monitor .failure .details summary").click()
    expect(ui.locator("#live-monitor")).to_contain_text("${window.ran=1}")
    harmless(ui)
    tab(ui, "compare")
    expect(ui.locator("#sample-grid")).to_contain_text("<script>")
    ui.locator("#sample-grid img").first.click()
    harmless(ui)


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be given there")
def test_scripts_in_a_data_set_do_not_run(ui: Page, playground: pathlib.Path) -> None:
    data = playground / f"data {NAME}"
    subset = data / f"2_{NAME}"
    subset.mkdir(parents=True)
    Image.new("RGB", (512, 512), "teal").save(subset / f"{NAME}.png")
    (subset / f"{NAME}.txt").write_text(SCRIPT, encoding="utf-8")
    (subset / f"broken {NAME}.png").write_bytes(b"no picture")
    tab(ui, "dataset")
    fill(ui, "dataset.folder", str(data))
    expect(ui.locator("#dataset-overview .problems")).to_contain_text("onerror")
    expect(ui.locator("#dataset-overview .subsets")).to_contain_text("onerror")
    expect(ui.locator("#dataset-grid .tile .caption").first).to_contain_text("<script>")
    harmless(ui)
    ui.locator("#dataset-grid .tile").first.click()
    expect(ui.locator("#dataset-grid textarea")).to_have_value(SCRIPT)
    harmless(ui)
    ui.keyboard.press("Escape")
    ui.evaluate("atelier.browse('dataset.folder', 'folder')")
    expect(ui.locator("#file-browser .crumbs")).to_contain_text("onerror")
    expect(ui.locator("#file-browser .entries")).to_contain_text("onerror")
    harmless(ui)


@pytest.mark.skipif(os.name == "nt", reason="such names cannot be given there")
def test_scripts_in_presets_and_settings_do_not_run(ui: Page, home: pathlib.Path, base_url: str) -> None:
    own = home / "presets"
    own.mkdir(parents=True, exist_ok=True)
    preset = own / "hostile.json"
    said = {
        "version": 1,
        "title": SCRIPT,
        "purpose": SCRIPT,
        "reasoning": [SCRIPT],
        SCRIPT: {"x": 1},
        "model": {SCRIPT: 1},
    }
    preset.write_text(json.dumps(said), encoding="utf-8")
    try:
        reopen(ui, base_url, clear=True)
        ui.locator("#preset input").click()
        ui.get_by_role("option", name="onerror").click()
        expect(ui.locator("#purpose")).to_contain_text("<script>")
        ui.locator("#load-preset").click()
        expect(ui.locator("#notice")).to_contain_text("<script>")
        harmless(ui)
    finally:
        preset.unlink()
    tab(ui, "model")
    fill(ui, "model.base", f"/{SCRIPT}.safetensors")
    fill(ui, "output.name", SCRIPT)
    expect(ui.locator("#tab-model, body").first).to_contain_text("onerror")
    ui.locator("#start").click()
    expect(ui.locator("#notice")).to_contain_text("onerror")
    harmless(ui)
    ui.locator("#paste-preset").click()
    ui.locator("#pasted textarea").fill(f"--network_dim=4 --{NAME}=1 --output_name='<img src=x onerror=window.ran=1>'")
    ui.locator("#paste-take").click()
    expect(ui.locator("#notice")).to_contain_text("onerror")
    harmless(ui)
    ui.wait_for_load_state("networkidle")


def test_scripts_in_a_lora_file_do_not_run(ui: Page, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "hostile.safetensors"
    write_lora(file)
    tab(ui, "tools")
    tools = ui.locator("#tools")
    tools.locator('.tool[data-tool="inspect"] input').first.fill(str(file))
    tools.locator('.tool[data-tool="inspect"] button.run').click()
    expect(tools.locator(".words")).to_contain_text("<script>")
    expect(tools.locator(".trigger")).to_contain_text("<script>")
    tools.locator(".metadata summary").click()
    expect(tools.locator(".metadata")).to_contain_text("onerror")
    harmless(ui)


# ---- other pages ----


@pytest.fixture
def evil() -> Iterator[str]:
    """A page on another port of this machine, which is as foreign as one on the internet."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>evil</title><body></body>")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


ATTACK = """async target => {
  const told = [];
  const attempt = async (name, options) => {
    try {
      const answer = await fetch(target + name, {credentials: "include", ...options});
      told.push(`${name} ${answer.type}`);
    }
    catch { told.push(`${name} refused`); }
  };
  for (const mode of ["cors", "no-cors"]) {
    await attempt("/runs", {mode});
    await attempt("/gradio_api/component_server", {mode, method: "POST", body: "{}"});
    await attempt("/gradio_api/queue/join", {mode, method: "POST", body: "{}"});
  }
  const loads = (tag, address) => new Promise(done => {
    const element = document.createElement(tag);
    element.onload = () => done("loaded"); element.onerror = () => done("refused");
    element.src = address; document.body.append(element); setTimeout(() => done("nothing"), 3000);
  });
  const picture = await loads("img", target + "/favicon.ico");
  const socket = await new Promise(done => {
    const opened = new WebSocket(target.replace("http", "ws") + "/queue/join");
    opened.onopen = () => done("opened"); opened.onerror = () => done("refused");
  });
  return {told, picture, socket};
}"""


def test_a_foreign_page_gets_nothing_and_changes_nothing(browser: Browser, base_url: str, evil: str) -> None:
    page = opened(browser)
    page.goto(base_url)
    page.wait_for_function("document.body.dataset.ready === '1'")
    statuses: list[tuple[str, int]] = []
    page.goto(evil)
    page.on("response", lambda answer: statuses.append((answer.url, answer.status)))
    told = page.evaluate(ATTACK, base_url)
    assert told["socket"] == "refused"
    assert told["picture"] == "refused"
    assert all(text.endswith((" refused", " opaque")) for text in told["told"])
    asked = [status for url, status in statuses if url.startswith(base_url)]
    assert asked
    assert set(asked) == {403}
    page.set_content(f'<form method="post" action="{base_url}/gradio_api/reset"><button>x</button></form>')
    with page.expect_navigation() as left:
        page.locator("button").click()
    assert left.value.status == 403
    page.goto(evil)
    page.set_content(f'<iframe src="{base_url}"></iframe><a href="{base_url}">link</a>')
    page.wait_for_timeout(500)
    assert all(frame.title() != "LoRA Atelier" for frame in page.frames)
    page.locator("a").click()
    page.wait_for_function("document.body.dataset.ready === '1'")
    page.context.close()


def test_a_name_that_was_made_to_lead_here_shows_nothing(browser: Browser, base_url: str) -> None:
    page = opened(browser)
    answer = page.goto(f"http://evil.localhost:{urlsplit(base_url).port}/")
    assert answer is not None
    assert answer.status == 400
    expect(page.locator("body")).to_have_text(say("guard.host"))
    page.context.close()


# ---- other machines ----


@pytest.fixture
def shared_url(tmp_path: pathlib.Path) -> Iterator[str]:
    """The address of a program that was started with --listen and a password."""
    (tmp_path / "password").write_text(PASSWORD)
    command = [sys.executable, "-m", "app", "--port", "0", "--no-browser", "--home", str(tmp_path / "home")]
    command += [
        "--outputs",
        str(tmp_path / "outputs"),
        "--listen",
        "127.0.0.1",
        "--password-file",
        str(tmp_path / "password"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield address_of(process)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


@pytest.mark.parametrize("way", [{"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}])
def test_with_listen_only_the_password_lets_in(browser: Browser, shared_url: str, way: dict[str, object]) -> None:
    page, outside = opened(browser, **way), list[str]()
    page.on(
        "request",
        lambda asked: None if asked.url.startswith((shared_url, "data:", "blob:")) else outside.append(asked.url),
    )
    page.goto(f"{shared_url}/gradio_api/info")
    assert page.url == f"{shared_url}/enter"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label(say("door.password")).fill("wrong password")
    page.get_by_role("button", name=say("door.enter")).click()
    expect(page.get_by_role("alert")).to_have_text(say("door.wrong"))
    if where := os.environ.get("PICTURES_OF_TESTS"):
        page.screenshot(path=f"{where}/door-dark.png")
        page.emulate_media(color_scheme="light")
        page.screenshot(path=f"{where}/door-light.png")
    page.get_by_label(say("door.password")).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_function("document.body.dataset.ready === '1'")
    tab(page, "run")
    expect(page.locator("#live-monitor .empty")).to_be_visible()
    page.locator("#preset input").click()
    assert page.context.request.get(f"{shared_url}/runs").status == 200
    leave_and_come_back(page, page.context.new_page(), shared_url)
    assert outside == []
    page.context.close()


def leave_and_come_back(page: Page, other: Page, url: str) -> None:
    """Logs out on `page`, which shuts the door for `other` too; what was typed there is kept until it is opened."""
    other.goto(url)
    other.wait_for_function("document.body.dataset.ready === '1'")
    fill(other, "output.name", "kept")
    page.get_by_role("button", name=say("door.log_out")).click()
    expect(page.get_by_role("status")).to_have_text(say("door.left"))
    assert page.context.request.get(f"{url}/runs").status == 401
    page.go_back()
    expect(page.get_by_label(say("door.password"))).to_be_visible()
    expect(other.get_by_label(say("door.password"))).to_be_focused()
    other.keyboard.type(PASSWORD)
    other.keyboard.press("Enter")
    other.wait_for_function("document.body.dataset.ready === '1'")
    expect(other.locator("#f-output-name input")).to_have_value("kept")
    page.goto(f"{url}/enter")
    page.get_by_role("link", name=say("door.open")).click()
    page.wait_for_function("document.body.dataset.ready === '1'")
