"""Whole trainings on a tiny model: what is written, and that stopping, resuming and sampling change nothing."""

import json
import pathlib
import shutil
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.trainer import tiny
from trainer.engine import device
from trainer.engine.loop import train
from trainer.formats import layouts
from trainer.formats.names import to_kohya
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.settings import Job, Training
from trainer.job.trouble import Trouble
from trainer.run import events, folder
from trainer.run.folder import RunFolder


class Ended(Exception):
    """The process was ended by the test."""


def carried_out(job: Job, stop_at: int = 0) -> tuple[RunFolder, list[events.Event]]:
    """A run of `job`, with the events told; asked to stop during step `stop_at`."""
    run = folder.create(pathlib.Path(job.output.folder), job.output.name)
    return run, told(job, run, stop_at)


def told(job: Job, run: RunFolder, stop_at: int = 0) -> list[events.Event]:
    seen: list[events.Event] = []

    def tell(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Step) and event.step == stop_at:
            folder.request(run, "stop")

    train(job, run, tell)
    return seen


def final(run: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(run.weights / "tiny.safetensors")


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def job_for(tmp_path: pathlib.Path, base: pathlib.Path, **changes: Any) -> Job:
    return tiny.job(tmp_path, base, changes)


EXACT = {"save_precision": "fp32"}


@pytest.mark.parametrize("optimizer", [name for name, kind in OPTIMIZERS.items() if "cpu" in kind.devices])
@pytest.mark.parametrize("stop_at", [2, 6])
def test_stopped_and_resumed_ends_in_the_same_bits(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, optimizer: str, stop_at: int
) -> None:
    rate = 1.0 if OPTIMIZERS[optimizer].one_learning_rate else 0.01
    training = {
        "optimizer": optimizer,
        "batch_size": 2,
        "epochs": 2,
        "learning_rate": rate,
        "text_encoder_learning_rate": rate,
        "schedule": "constant" if OPTIMIZERS[optimizer].averages else "cosine",
    }
    job = job_for(
        tmp_path,
        tiny_model,
        training=training,
        output=EXACT,
        adapter={"dropout": 0.1},
        dataset={"shuffle_captions": True},
    )
    whole, _ = carried_out(job)
    parts, seen = carried_out(job, stop_at)
    assert isinstance(seen[-1], events.Stopped)
    assert seen[-1].step == stop_at
    resumed = told(job, parts)
    assert isinstance(resumed[-1], events.Finished)
    assert next(event for event in resumed if isinstance(event, events.Started)).first_step == stop_at
    assert equal(final(whole), final(parts))
    assert not equal(final(whole), load_file(parts.path / seen[-1].file))


@pytest.mark.parametrize("text_encoder", [True, False])
def test_two_text_encoders_are_resumed_in_the_same_bits(
    tmp_path: pathlib.Path, tiny_sdxl: pathlib.Path, text_encoder: bool
) -> None:
    tiny.pictures(tmp_path / "data", 2)
    job = job_for(
        tmp_path,
        tiny_sdxl,
        model={"family": "sdxl", "base": str(tiny_sdxl)},
        training={"batch_size": 2, "epochs": 2, "text_encoder": text_encoder, "text_encoder_2_learning_rate": 0.02},
        output=EXACT,
        dataset={"random_crop": True, "flip": True, "buckets": False, "resolution": 64},
    )
    whole, _ = carried_out(job)
    parts, _ = carried_out(job, 1)
    told(job, parts)
    assert equal(final(whole), final(parts))
    assert {name.split("_")[1] for name in final(whole)} == ({"unet", "te1", "te2"} if text_encoder else {"unet"})


def test_all_that_chance_decides_is_the_same_after_a_stop(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    chance = {
        "shuffle_captions": True,
        "tag_dropout": 0.3,
        "wildcards": True,
        "caption_dropout": 0.1,
        "caption_dropout_every_epochs": 3,
        "flip": True,
        "random_crop": True,
        "buckets": False,
        "regularisation_folder": str(tiny.pictures(tmp_path / "reg", 3, (96, 64))),
        "masked_loss": "alpha",
    }
    training = {
        "loss": "smooth_l1",
        "noise_offset": 0.1,
        "noise_offset_random": True,
        "adaptive_noise_scale": 0.1,
        "multires_noise_levels": 3,
        "input_perturbation": 0.1,
        "input_perturbation_random": True,
        "prior_loss_weight": 0.5,
    }
    job = job_for(tmp_path, tiny_model, training=training, dataset=chance, output=EXACT)
    whole, seen = carried_out(job)
    # 6 pictures twice, as many of regularisation, in batches of 2, two epochs
    assert sum(isinstance(event, events.Step) for event in seen) == 24
    parts, _ = carried_out(job, 7)
    told(job, parts)
    assert equal(final(whole), final(parts))
    about = read_metadata(whole)
    assert (about["ss_num_train_images"], about["ss_num_reg_images"]) == ("12", "12")
    assert json.loads(about["ss_reg_dataset_dirs"]) == {"2_thing": {"n_repeats": 2, "img_count": 3}}
    expected = {
        "ss_loss_type": "smooth_l1",
        "ss_huber_schedule": "snr",
        "ss_huber_c": "0.1",
        "ss_noise_offset_random_strength": "True",
        "ss_adaptive_noise_scale": "0.1",
        "ss_multires_noise_iterations": "3",
        "ss_multires_noise_discount": "0.3",
        "ss_ip_noise_gamma": "0.1",
        "ss_ip_noise_gamma_random_strength": "True",
        "ss_debiased_estimation": "False",
        "ss_prior_loss_weight": "0.5",
        "ss_caption_tag_dropout_rate": "0.3",
        "ss_caption_dropout_every_n_epochs": "3",
        "ss_random_crop": "True",
    }
    assert {name: about[name] for name in expected} == expected


def read_metadata(run: RunFolder) -> dict[str, str]:
    with safe_open(run.weights / "tiny.safetensors", "pt") as file:
        return dict(file.metadata())


@pytest.mark.parametrize("training", [{}, {"optimizer": "AdamWScheduleFree", "schedule": "constant"}])
def test_sampling_does_not_change_what_is_learned(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, training: dict[str, Any]
) -> None:
    without, _ = carried_out(job_for(tmp_path, tiny_model, training=training, output=EXACT, adapter={"dropout": 0.1}))
    prompts = {
        "prompts": ["a red thing", "a blue thing --d 7 --s 3"],
        "sampler": "euler_a",
        "steps": 2,
        "width_px": 32,
        "height_px": 32,
    }
    with_samples, seen = carried_out(
        job_for(tmp_path, tiny_model, training=training, output=EXACT, adapter={"dropout": 0.1}, samples=prompts)
    )
    samples = [event for event in seen if isinstance(event, events.Sample)]
    assert [(sample.epoch, sample.prompt) for sample in samples] == [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 2)]
    assert [sample.seed for sample in samples] == [42, 7] * 3
    assert all((with_samples.path / sample.file).is_file() for sample in samples)
    assert equal(final(without), final(with_samples))


def test_samples_and_files_come_after_steps_as_well(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    plain, seen = carried_out(job_for(tmp_path, tiny_model, output=EXACT))
    (started,) = (event for event in seen if isinstance(event, events.Started))
    assert (started.steps_per_epoch, started.steps) == (6, 12)
    samples = {"prompts": ["a red thing"], "steps": 1, "width_px": 32, "height_px": 32, "baseline": False}
    often = {**samples, "every_steps": 4, "every_epochs": 0}
    run, seen = carried_out(job_for(tmp_path, tiny_model, output={**EXACT, "save_every_steps": 4}, samples=often))
    drawn = [(event.epoch, event.step, event.file) for event in seen if isinstance(event, events.Sample)]
    assert drawn == [
        (0.6667, 4, "samples/tiny_step00000004_p01_s42.png"),
        (1.3333, 8, "samples/tiny_step00000008_p01_s42.png"),
        (2, 12, "samples/tiny_e0002_p01_s42.png"),
    ]
    saved = [pathlib.Path(event.file).name for event in seen if isinstance(event, events.Saved)]
    endings = ["-step00000004", "-000001", "-step00000008", ""]
    assert saved == [f"tiny{ending}.safetensors" for ending in endings]
    assert equal(final(plain), final(run))


def test_a_step_that_ends_an_epoch_is_kept_once(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    samples = {"prompts": ["a red thing"], "steps": 1, "width_px": 32, "height_px": 32, "every_steps": 3}
    output = {"save_every_steps": 6, "save_every_epochs": 0}
    _, seen = carried_out(job_for(tmp_path, tiny_model, output=output, samples=samples))
    assert [event.epoch for event in seen if isinstance(event, events.Sample)] == [0, 0.5, 1, 1.5, 2]
    saved = [pathlib.Path(event.file).name for event in seen if isinstance(event, events.Saved)]
    assert saved == ["tiny-step00000006.safetensors", "tiny.safetensors"]


@pytest.mark.parametrize("optimizer", ["AdamWScheduleFree", "RAdamScheduleFree"])
def test_of_a_schedule_free_optimizer_the_average_is_saved(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, optimizer: str
) -> None:
    """The state holds y = (1 - β)·z + β·x of arXiv:2405.15682, eq. 1; the file holds x."""
    training = {"optimizer": optimizer, "schedule": "constant", "epochs": 2, "optimizer_args": {"betas": [0.8, 0.99]}}
    run, _ = carried_out(job_for(tmp_path, tiny_model, training=training, output=EXACT, adapter={"alpha": 2}))
    state = torch.load(run.state / "resume.pt", weights_only=True)
    numbers = [number for group in state["optimizer"]["param_groups"] for number in group["params"]]
    distances = []
    for number, (name, y) in zip(numbers, state["tensors"].items(), strict=True):
        z = state["optimizer"]["state"][number]["z"]
        x = final(run)[to_kohya(name.rpartition(".")[0], layouts.SD15) + f".{name.rpartition('.')[2]}.weight"]
        assert torch.allclose(y, 0.2 * z + 0.8 * x, atol=1e-6)
        distances.append((x - y).abs().max().item())
    assert max(distances) > 1e-3


def test_the_same_job_gives_the_same_bits_and_another_seed_others(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = job_for(tmp_path, tiny_model, output=EXACT)
    one, two = carried_out(job)[0], carried_out(job)[0]
    other, _ = carried_out(job.model_copy(update={"training": job.training.model_copy(update={"seed": 7})}))
    assert equal(final(one), final(two))
    assert not equal(final(one), final(other))


def test_steps_epochs_and_files_are_those_planned(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    run, seen = carried_out(job_for(tmp_path, tiny_model))
    steps = [event for event in seen if isinstance(event, events.Step)]
    assert [(step.step, step.epoch) for step in steps] == [(n, 1 if n <= 6 else 2) for n in range(1, 13)]
    assert [event.step for event in seen if isinstance(event, events.Epoch)] == [6, 12]
    assert sorted(path.name for path in run.weights.iterdir()) == ["tiny-000001.safetensors", "tiny.safetensors"]
    assert isinstance(seen[-1], events.Finished)
    assert seen[-1].file == "weights/tiny.safetensors"


def test_a_length_in_steps_ends_within_an_epoch(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    training = {
        "epochs": 0,
        "steps": 8,
        "gradient_accumulation": 2,
        "batch_size": 2,
        "schedule": "cosine",
        "warmup_percent": 25,
    }
    _, seen = carried_out(job_for(tmp_path, tiny_model, training=training))
    steps = [event for event in seen if isinstance(event, events.Step)]
    assert [step.step for step in steps] == list(range(1, 9))
    assert [event.step for event in seen if isinstance(event, events.Epoch)] == [3, 6, 8]
    rates = [step.learning_rate for step in steps]
    assert rates[0] < rates[1] == rates[2] > rates[3] > rates[-1] > 0


@pytest.mark.parametrize(
    ("section", "changes"),
    [
        ("training", {"text_encoder": False}),
        ("training", {"precision": "bf16"}),
        ("training", {"gradient_checkpointing": True}),
        ("training", {"min_snr_gamma": 5, "noise_offset": 0.05}),
        (
            "training",
            {
                "loss": "huber",
                "debiased_estimation": True,
                "multires_noise_levels": 6,
                "noise_offset": 0.05,
                "noise_offset_random": True,
                "adaptive_noise_scale": 0.01,
                "input_perturbation": 0.1,
                "input_perturbation_random": True,
                "min_timestep": 100,
                "max_timestep": 900,
            },
        ),
        ("training", {"max_grad_norm": 0, "schedule": "cosine_with_restarts", "schedule_cycles": 2}),
        ("adapter", {"type": "locon", "conv_rank": 3, "conv_alpha": 1}),
        ("dataset", {"flip": True, "caption_dropout": 0.5, "cache_to_disk": False}),
        ("dataset", {"flip": True, "random_crop": True, "buckets": False}),
        ("dataset", {"tag_dropout": 0.5, "wildcards": True, "caption_dropout_every_epochs": 2}),
        ("model", {"clip_skip": 2}),
        ("model", {"prediction": "v"}),
    ],
)
def test_every_way_of_training_learns(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, section: str, changes: dict[str, Any]
) -> None:
    run, seen = carried_out(job_for(tmp_path, tiny_model, **{section: changes}))
    assert isinstance(seen[-1], events.Finished)
    ups = [tensor for name, tensor in final(run).items() if "lora_up" in name]
    unused = 6 if changes.get("clip_skip") == 2 else 0  # the last text layer: four projections and two of the MLP
    assert sum(tensor.abs().max() > 0 for tensor in ups) == len(ups) - unused > 0
    assert any("lora_te" in name for name in final(run)) == (changes.get("text_encoder") is not False)


def test_a_picture_that_cannot_be_decoded_is_skipped_by_choice(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    data = tiny.pictures(tmp_path / "data")
    picture = data / "2_thing" / "3.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:60] + bytes(20) + whole[80:])
    with pytest.raises(Trouble, match=r"3\.png"):
        carried_out(job_for(tmp_path, tiny_model))
    _, seen = carried_out(job_for(tmp_path, tiny_model, dataset={"broken_pictures": "skip"}))
    assert next(event for event in seen if isinstance(event, events.Started)).pictures == 5


def test_another_stands_in_for_a_regularisation_picture_that_cannot_be_decoded(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    """Of 4 regularisation pictures shown twice each, 6 pictures shown once need the first three."""
    tiny.pictures(tmp_path / "data").joinpath("2_thing").rename(tmp_path / "data" / "1_thing")
    picture = tiny.pictures(tmp_path / "reg", 4) / "2_thing" / "0.png"
    whole = picture.read_bytes()
    picture.write_bytes(whole[:60] + bytes(20) + whole[80:])
    dataset = {"broken_pictures": "skip", "regularisation_folder": str(tmp_path / "reg")}
    run, seen = carried_out(job_for(tmp_path, tiny_model, training={"epochs": 1}, dataset=dataset))
    assert [event.text for event in seen if isinstance(event, events.Warned) and "0.png" in event.text]
    assert isinstance(seen[-1], events.Finished)
    about = read_metadata(run)
    assert (about["ss_num_train_images"], about["ss_num_reg_images"]) == ("6", "6")


def test_fp16_on_a_processor_is_refused(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a graphics card here")
    with pytest.raises(Trouble, match="fp16"):
        carried_out(job_for(tmp_path, tiny_model, training={"precision": "fp16"}))


def test_what_a_device_cannot_do_is_refused() -> None:
    with pytest.raises(Trouble, match="bf16 does not work on Apple's graphics"):
        device.refuse(Training(precision="bf16"), "mps")


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job = job_for(
        tmp_path, tiny_model, training={"learning_rate": 10.0, "optimizer": "Lion", "max_grad_norm": 0, "epochs": 60}
    )
    with pytest.raises(Trouble, match="learning rate"):
        carried_out(job)


def test_a_run_resumed_on_fewer_pictures_than_it_has_seen_still_saves_its_file(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = job_for(tmp_path, tiny_model)
    run, _ = carried_out(job, stop_at=6)
    for number in range(1, 6):
        (tmp_path / "data" / "2_thing" / f"{number}.png").unlink()
    ended = told(job, run)[-1]
    assert isinstance(ended, events.Finished)
    assert final(run)


def test_a_run_killed_between_its_last_step_and_its_end_still_ends(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = job_for(tmp_path, tiny_model)
    run, _ = carried_out(job)
    elsewhere = job.model_copy(update={"output": job.output.model_copy(update={"folder": "elsewhere"})})
    shutil.rmtree(tmp_path / "out" / ".cache")
    again = told(elsewhere, run)
    assert (tmp_path / "out" / ".cache").is_dir()  # beside the run, wherever its trainer was started
    assert [type(event) for event in again if not isinstance(event, events.Stage)] == [events.Started, events.Finished]
    assert isinstance(again[-1], events.Finished)
    assert (run.path / again[-1].file).is_file()
