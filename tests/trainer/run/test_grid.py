"""The picture of all samples."""

import pathlib

from PIL import Image

from trainer.run import events, folder
from trainer.run.grid import draw_grid


def test_a_row_an_epoch_and_a_column_a_prompt(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    log = events.EventLog(run.events)
    colours = {(0, 1): "red", (0, 2): "lime", (2.25, 1): "blue", (2.25, 2): "yellow"}
    for (epoch, prompt), colour in colours.items():
        path = run.sample_file("cat", f"step{epoch}", prompt, 42)
        Image.new("RGB", (64, 64), colour).save(path)
        about = {"text": f"a {colour} thing", "seed": 42, "width_px": 64, "height_px": 64, "step": 1}
        log.write(events.Sample(epoch=epoch, prompt=prompt, file=f"samples/{path.name}", **about))
    assert draw_grid(run) == "samples/grid.png"
    with Image.open(run.grid) as grid:
        rows = [[grid.getpixel((160 + 198 * column, 150 + 198 * row)) for column in (0, 1)] for row in (0, 1)]
    assert rows == [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 0)]]


def test_of_thousands_of_samples_it_shows_what_a_picture_can_hold_and_says_so(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    log = events.EventLog(run.events)
    about = {"text": "a cat", "seed": 42, "width_px": 64, "height_px": 64, "step": 1, "file": "samples/gone.png"}
    for epoch in range(120):
        for prompt in range(1, 61):
            log.write(events.Sample(epoch=epoch, prompt=prompt, **about))
    draw_grid(run)
    with Image.open(run.grid) as grid:
        assert grid.width < 10_000
        assert grid.height < 4_500
        foot = grid.crop((64, grid.height - 28, 700, grid.height))
        assert len(foot.getcolors()) > 1


def test_the_place_of_a_sample_that_was_removed_stays_empty(tmp_path: pathlib.Path) -> None:
    run = folder.create(tmp_path, "cat")
    log = events.EventLog(run.events)
    for prompt in (1, 2):
        about = {"text": "a cat", "seed": 42, "width_px": 64, "height_px": 64, "step": 1, "epoch": 1}
        log.write(events.Sample(prompt=prompt, file=f"samples/{prompt}.png", **about))
    Image.new("RGB", (64, 64), "red").save(run.samples / "2.png")
    draw_grid(run)
    with Image.open(run.grid) as grid:
        assert [grid.getpixel((160 + 198 * column, 150)) for column in (0, 1)] == [(250, 249, 246), (255, 0, 0)]


def test_a_run_without_samples_has_none(tmp_path: pathlib.Path) -> None:
    assert draw_grid(folder.create(tmp_path, "cat")) == ""
