"""What people have been let down by elsewhere: what a training leaves alone, and what it really does."""

import pathlib
from typing import Any

import pytest
from PIL import Image

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, final
from trainer.engine.batches import CACHE_FOLDER
from trainer.job.words import say
from trainer.run import events


def snapshot(folder: pathlib.Path) -> dict[str, tuple[int, bytes]]:
    """When each file was changed, in ns, and what is in it, by its path in `folder`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def steps(seen: list[events.Event]) -> list[events.Step]:
    return [event for event in seen if isinstance(event, events.Step)]


def said(seen: list[events.Event]) -> list[str]:
    return [event.text for event in seen if isinstance(event, events.Warned)]


def test_nothing_in_the_pictures_folder_is_changed_moved_or_removed(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    data, masks = tiny.pictures(tmp_path / "data"), tmp_path / "masks"
    tiny.pictures(tmp_path / "reg", 2)
    Image.new("RGBA", (80, 48), (200, 10, 10, 120)).save(data / "2_thing" / "seen through.png")
    (data / "2_thing" / "broken.png").write_bytes(b"no picture")
    (data / "2_thing" / "notes.md").write_text("mine", encoding="utf-8")
    masks.mkdir()
    Image.new("L", (64, 64), 128).save(masks / "0.png")
    before = snapshot(data), snapshot(masks), snapshot(tmp_path / "reg")
    dataset: dict[str, Any] = {
        "broken_pictures": "skip",
        "masked_loss": "folder",
        "mask_folder": str(masks),
        "regularisation_folder": str(tmp_path / "reg"),
        "random_crop": True,
        "flip": True,
    }
    carried_out(tiny.job(tmp_path, tiny_model, {"dataset": dataset, "training": {"epochs": 1}}))
    assert (snapshot(data), snapshot(masks), snapshot(tmp_path / "reg")) == before


@pytest.mark.parametrize("trained", [True, False])
def test_the_text_encoder_is_trained_at_its_own_rate_or_not_at_all(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, trained: bool
) -> None:
    training = {
        "text_encoder": trained,
        "learning_rate": 0.01,
        "text_encoder_learning_rate": 0.002,
        "schedule": "constant",
        "epochs": 1,
    }
    run, seen = carried_out(tiny.job(tmp_path, tiny_model, {"training": training}))
    rates = {(event.learning_rate, event.text_encoder_learning_rate) for event in steps(seen)}
    assert rates == {(0.01, 0.002 if trained else None)}
    learned = [name for name, tensor in final(run).items() if name.endswith("lora_up.weight") and tensor.any()]
    assert any(name.startswith("lora_unet_") for name in learned)
    assert any(name.startswith("lora_te_") for name in final(run)) == trained
    assert any(name.startswith("lora_te_") for name in learned) == trained


@pytest.mark.parametrize("schedule", ["constant", "cosine", "cosine_with_restarts"])
def test_a_warm_up_goes_with_every_schedule(tmp_path: pathlib.Path, tiny_model: pathlib.Path, schedule: str) -> None:
    training = {"schedule": schedule, "warmup_percent": 50, "epochs": 1, "learning_rate": 0.01}
    _, seen = carried_out(tiny.job(tmp_path, tiny_model, {"training": training}))
    rates = [event.learning_rate for event in steps(seen)]
    assert rates[0] < rates[1] < rates[2] <= rates[3] * 1.5
    assert max(rates) <= 0.01


def test_a_training_that_has_learned_nothing_says_so(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    rate = {"learning_rate": 1e-12, "text_encoder_learning_rate": 1e-12, "epochs": 1}
    _, seen = carried_out(tiny.job(tmp_path, tiny_model, {"training": rate}))
    assert [text for text in said(seen) if text.startswith("The LoRA changes nothing")]
    _, seen = carried_out(tiny.job(tmp_path, tiny_model, {"training": {"epochs": 1}}))
    assert not said(seen)


def test_pictures_are_encoded_in_sight_and_once(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job = tiny.job(tmp_path, tiny_model, {"training": {"epochs": 1}})
    run, seen = carried_out(job)
    stages = [event for event in seen if isinstance(event, events.Stage) and event.text == say("stage_latents")]
    assert [(event.done, event.total) for event in stages] == [(done, 6) for done in range(7)]
    kept = snapshot(run.path.parent / CACHE_FOLDER)
    assert len(kept) == 6
    carried_out(job)
    assert snapshot(run.path.parent / CACHE_FOLDER) == kept
    Image.new("RGB", (64, 64), "purple").save(tmp_path / "data" / "2_thing" / "0.png")
    carried_out(job)
    assert snapshot(run.path.parent / CACHE_FOLDER).keys() - kept.keys() != set()
    assert len(snapshot(run.path.parent / CACHE_FOLDER)) == 7
