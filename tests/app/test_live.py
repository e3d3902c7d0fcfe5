"""The routes by which the page follows runs: what they tell, and that nothing outside of the runs can be had."""

import errno
import gc
import io
import os
import pathlib
import shutil
import time
import tracemalloc
from typing import Any

import fastapi
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app import event_files, live, places, run_list
from app.tabs import run as run_tab
from trainer.job.settings import Job
from trainer.run import events, folder
from trainer.run.folder import RunFolder

NO_ERROR = {"largest_relative_error": 0.0}
HOSTILE = '"><img src=x onerror=alert(1)> & 桜 {{x}} ${y}'


@pytest.fixture
def client() -> TestClient:
    """A client of the routes alone."""
    app = fastapi.FastAPI()
    app.include_router(live.router)
    return TestClient(app)


def new_run(name: str = "robot", outputs: pathlib.Path | None = None) -> RunFolder:
    run = folder.create(outputs or places.default_outputs(), name)
    folder.write_job(run, Job(), {})
    return run


def add_sample(run: RunFolder, text: str = "a robot", size_px: int = 512) -> str:
    file = run.sample_file("robot", 1, 1, 42)
    Image.new("RGB", (size_px, size_px), "teal").save(file)
    size = {"width_px": size_px, "height_px": size_px}
    events.EventLog(run.events).write(
        events.Sample(epoch=1, step=10, prompt=1, text=text, seed=42, file=f"samples/{file.name}", **size)
    )
    return file.name


def listed(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/runs").json()["runs"]
    return found


def test_runs_of_all_output_folders_are_listed_newest_first(client: TestClient, tmp_path: pathlib.Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    runs = [new_run("old"), new_run("middle", elsewhere), new_run("new")]
    for age, run in enumerate(reversed(runs)):
        os.utime(run.job, (time.time() - age, time.time() - age))
    places.remember_output_folder(elsewhere)
    assert [run["name"] for run in listed(client)] == ["new", "middle", "old"]
    assert len({run["key"] for run in listed(client)}) == 3
    assert [run["state"] for run in listed(client)] == ["waiting"] * 3


def test_the_key_of_a_run_stays_the_same(client: TestClient) -> None:
    run = new_run()
    assert listed(client)[0]["key"] == run_list.key_of(run)
    assert run_list.find(run_list.key_of(run)) == run


def test_five_hundred_runs_are_listed_soon(client: TestClient) -> None:
    first = new_run("run 0")
    log = events.EventLog(first.events)
    for number in range(1, 400):
        log.write(events.Step(step=number, epoch=1, loss=0.1, learning_rate=1e-4))
    log.flush()
    for number in range(1, 500):
        target = first.path.with_name(f"run {number}")
        target.mkdir()
        shutil.copy(first.job, target)
        shutil.copy(first.events, target)
    begun = time.perf_counter()
    assert len(listed(client)) == 500
    assert time.perf_counter() - begun < 3


def test_live_gives_what_is_new_since_an_offset(client: TestClient) -> None:
    run = new_run()
    log = events.EventLog(run.events)
    log.write(events.Warned(text=HOSTILE))
    first = client.get(f"/live/{run_list.key_of(run)}").json()
    assert first["run"]["name"] == "robot"
    assert first["warnings"][0]["text"] == HOSTILE
    log.write(events.Warned(text="later"))
    later = client.get(f"/live/{run_list.key_of(run)}?since={first['next']}").json()
    assert [warning["text"] for warning in later["warnings"]] == ["later"]


def test_what_could_not_be_read_of_a_run_is_told_once_it_can_be(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run()
    events.EventLog(run.events).write(events.Finished(step=10, file="", grid="", training_s=1.0))
    long_ago = time.time() - 3600
    for path in (run.job, run.events):
        os.utime(path, (long_ago, long_ago))

    def failing(*given: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as disk:
        disk.setattr(event_files, "_read", failing)
        told = client.get("/runs").json()
    assert [found["state"] for found in told["runs"]] != ["finished"]
    told = client.get(f"/runs?known={told['version']}").json()
    assert [found["state"] for found in told["runs"]] == ["finished"]
    assert client.get(f"/runs?known={told['version']}").json()["runs"] == []


def test_the_sample_table_is_sent_only_when_it_has_changed(client: TestClient) -> None:
    run = new_run()
    add_sample(run, HOSTILE)
    address = f"/samples/{run_list.key_of(run)}"
    table = client.get(address).json()["table"]
    assert table["prompts"] == [{"prompt": 1, "text": HOSTILE}]
    known = {"known": table["version"]}
    assert client.get(address, params=known).json()["table"] is None
    next(run.samples.iterdir()).unlink()
    assert client.get(address, params=known).json()["table"]["rows"] == []


def test_a_sample_comes_whole_or_small_and_may_be_kept(client: TestClient) -> None:
    run = new_run()
    address = f"/sample/{run_list.key_of(run)}/{add_sample(run)}"
    whole, small = client.get(address), client.get(address, params={"w": 150})
    assert Image.open(io.BytesIO(whole.content)).size == (512, 512)
    assert small.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(small.content)).size == (192, 192)
    assert "immutable" in small.headers["cache-control"]


def test_a_small_sample_is_never_enlarged(client: TestClient) -> None:
    run = new_run()
    answer = client.get(f"/sample/{run_list.key_of(run)}/{add_sample(run, size_px=128)}?w=1000")
    assert Image.open(io.BytesIO(answer.content)).size == (128, 128)


def test_a_broken_sample_is_not_found(client: TestClient) -> None:
    run = new_run()
    name = add_sample(run)
    (run.samples / name).write_bytes(b"no picture")
    assert client.get(f"/sample/{run_list.key_of(run)}/{name}?w=96").status_code == 404


def test_a_sample_that_is_removed_before_it_is_sent_is_not_found(tmp_path: pathlib.Path) -> None:
    assert live.shrunk(tmp_path / "gone.png", 0).status_code == 404


def test_weights_are_downloads_and_the_log_is_plain_text(client: TestClient) -> None:
    run = new_run("桜")
    run.weights_file("桜").write_bytes(b"weights")
    run.log.write_text("<script>alert(1)</script>\n", encoding="utf-8")
    answer = client.get(f"/weights/{run_list.key_of(run)}/桜.safetensors")
    assert answer.content == b"weights"
    assert answer.headers["content-disposition"].startswith("attachment")
    log = client.get(f"/log/{run_list.key_of(run)}")
    assert log.headers["content-type"].startswith("text/plain")
    assert log.headers["x-content-type-options"] == "nosniff"
    assert log.text == "<script>alert(1)</script>"


@pytest.mark.parametrize(
    "file",
    [
        "../job.json",
        "..%2fjob.json",
        "%2e%2e%2fjob.json",
        "..%5cjob.json",
        "%2fetc%2fpasswd",
        "job.json",
        ".",
        "..",
        "%00",
        "notes.txt",
        "outside.png",
        "folder.png",
    ],
)
def test_nothing_but_the_files_of_a_run_can_be_had(client: TestClient, file: str, tmp_path: pathlib.Path) -> None:
    run = new_run()
    (run.samples / "notes.txt").write_text("secret")
    (run.samples / "folder.png").mkdir()
    (tmp_path / "secret.png").write_bytes(b"secret")
    if os.name != "nt":
        (run.samples / "outside.png").symlink_to(tmp_path / "secret.png")
    for route in ("sample", "weights"):
        answer = client.get(f"/{route}/{run_list.key_of(run)}/{file}")
        assert answer.status_code in (404, 405), answer.text
        assert b"secret" not in answer.content


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
@pytest.mark.parametrize("part", ["log.txt", "samples", "weights", "events.jsonl"])
def test_no_part_of_a_run_that_is_a_link_leads_out_of_it(client: TestClient, part: str, tmp_path: pathlib.Path) -> None:
    run, elsewhere = new_run(), new_run("robot", tmp_path / "elsewhere")
    events.EventLog(elsewhere.events).write(events.Failed(reason="secret", advice=""))
    for path in (elsewhere.log, elsewhere.samples / "a.png", elsewhere.weights / "a.safetensors"):
        path.write_text("secret")
    if (run.path / part).is_dir():
        (run.path / part).rmdir()
    (run.path / part).symlink_to(elsewhere.path / part)
    key = run_list.key_of(run)
    for address in ("runs", f"live/{key}", f"log/{key}", f"sample/{key}/a.png", f"weights/{key}/a.safetensors"):
        assert b"secret" not in client.get(f"/{address}").content, address


@pytest.mark.skipif(os.name == "nt", reason="links are for administrators there")
def test_a_run_that_is_reached_by_a_link_is_served_like_any_other(client: TestClient, tmp_path: pathlib.Path) -> None:
    real = new_run("far", tmp_path / "elsewhere")
    name = add_sample(real)
    real.log.write_text("begun")
    (places.default_outputs() / "near").symlink_to(real.path)
    key = listed(client)[0]["key"]
    assert client.get(f"/sample/{key}/{name}").status_code == 200
    assert client.get(f"/log/{key}").text == "begun"
    assert client.get(f"/live/{key}").json()["samples"]


@pytest.mark.parametrize("key", ["..", "%2e%2e", "robot", "0" * 20, "%2ftmp", "x" * 5000])
def test_a_key_that_is_no_run_is_not_found(client: TestClient, key: str) -> None:
    new_run()
    for route in (f"/live/{key}", f"/samples/{key}", f"/log/{key}", f"/sample/{key}/a.png", f"/weights/{key}/a"):
        assert client.get(route).status_code == 404


def test_islands_give_their_modules_and_nothing_else(client: TestClient) -> None:
    assert client.get("/islands/page.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/islands/lightbox.css").status_code == 200
    for file in ("__init__.py", "..%2flive.py", "live_monitor.html"):
        assert client.get(f"/islands/{file}").status_code == 404


def test_stop_leaves_a_request_and_a_run_that_is_gone_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run()
    assert run_tab.stop({"run": run_list.key_of(run)}) == ""
    assert folder.take_request(run, "stop")
    wrong: tuple[Any, ...] = ({"run": "nothing"}, {}, {"run": ["x"]}, "text", None)
    for asked in wrong:
        assert "does not exist" in run_tab.stop(asked)
        assert "does not exist" in run_tab.resume(asked)


@pytest.mark.parametrize("what", ["stop_after_epoch", "pause", "save", "sample"])
def test_what_a_button_asks_for_lies_in_the_run_folder(what: str) -> None:
    run = new_run()
    asked = {"run": run_list.key_of(run)}
    assert getattr(run_tab, what)(asked) == ""
    assert folder.asked(run) == {what}
    shutil.rmtree(run.requests)
    run.requests.write_text("no folder")
    assert "could not be asked" in getattr(run_tab, what)(asked)


def test_a_paused_run_is_let_go_on_by_resume() -> None:
    run = new_run()
    with folder.held(run):
        folder.request(run, "pause")
        assert run_tab.resume({"run": run_list.key_of(run)}) == ""
        assert "pause" not in folder.pending(run)


def test_a_run_under_way_is_not_resumed() -> None:
    run = new_run()
    with folder.held(run):
        assert "under way" in run_tab.resume({"run": run_list.key_of(run)})


def test_of_hundreds_of_runs_that_lie_still_no_events_are_read_again(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(30):
        events.EventLog(new_run(f"run {number}").events).write(events.Paused(step=number, epoch=1))
    before = listed(client)
    read: list[object] = []
    with monkeypatch.context() as patched:
        patched.setattr(event_files, "ends", lambda *given: read.append(given) or [])
        assert listed(client) == before
    assert not read
    events.EventLog(places.runs()[0].events).write(events.Resumed(step=99, epoch=1))
    assert len([run for run in listed(client) if run not in before]) == 1


def test_of_runs_that_lie_still_only_a_change_is_told(client: TestClient) -> None:
    ended = new_run("ended")
    events.EventLog(ended.events).write(events.Finished(step=9, file="", grid="", training_s=1.0))
    ended.lock.touch()
    whole = client.get("/runs").json()
    assert whole["whole"]
    assert [run["still"] for run in whole["runs"]] == [True]
    new_run("waiting")
    later = client.get("/runs", params={"known": whole["version"]}).json()
    assert not later["whole"]
    assert later["version"] == whole["version"]
    assert [(run["name"], run["still"]) for run in later["runs"]] == [("waiting", False)]
    with folder.held(ended):
        begun_anew = client.get("/runs", params={"known": whole["version"]}).json()
    assert begun_anew["whole"]
    assert {run["name"] for run in begun_anew["runs"]} == {"ended", "waiting"}
    shutil.rmtree(ended.path)
    gone = client.get("/runs", params={"known": whole["version"]}).json()
    assert gone["whole"]
    assert [run["name"] for run in gone["runs"]] == ["waiting"]


def test_one_run_among_hundreds_is_found_without_looking_into_the_others(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [new_run(f"run {number}") for number in range(30)][20]
    looked: list[str] = []
    monkeypatch.setattr(live.watch, "is_locked", lambda path: bool(looked.append(path)))
    assert client.get(f"/live/{run_list.key_of(wanted)}").json()["run"]["name"] == wanted.name
    assert looked == [str(wanted.lock)]


def test_polling_keeps_nothing(client: TestClient) -> None:
    """What is remembered of files is bounded; so all that a day of polling may leave is what one more event weighs."""
    for number in range(20):
        events.EventLog(new_run(f"run {number}").events).write(events.Paused(step=number, epoch=1))
    living = new_run("living")
    log = events.EventLog(living.events)

    def poll(times: int) -> None:
        since = 0
        for number in range(times):
            log.write(events.Saved(file="x", epoch=1, step=number, size_bytes=1, verified=True, **NO_ERROR))
            client.get("/runs")
            since = client.get(f"/live/{run_list.key_of(living)}?since={since}").json()["next"]
            client.get(f"/samples/{run_list.key_of(living)}")

    poll(20)
    gc.collect()
    tracemalloc.start()
    try:
        poll(20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        poll(60)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 60 * 6_000
