"""What a file says of itself, in the words that Kohya's scripts use and other programs look for."""

import dataclasses
import hashlib
import json
import pathlib

import pytest
import torch

from trainer.adapters.base import Injected
from trainer.dataset.plan import make_plan
from trainer.dataset.scan import scan
from trainer.engine.base_hashes import hashing
from trainer.engine.metadata import About, metadata, optimizer_name
from trainer.engine.sampling import Moment
from trainer.job.fields import parse

KOHYAS_KEYS = """
ss_session_id ss_training_started_at ss_training_finished_at ss_output_name ss_learning_rate ss_text_encoder_lr
ss_unet_lr ss_num_train_images ss_num_validation_images ss_num_reg_images ss_num_batches_per_epoch ss_num_epochs
ss_epoch ss_steps ss_gradient_checkpointing ss_gradient_accumulation_steps ss_max_train_steps ss_lr_warmup_steps
ss_lr_scheduler ss_network_module ss_network_dim ss_network_alpha ss_network_dropout ss_network_args
ss_mixed_precision ss_full_fp16 ss_v2 ss_base_model_version ss_clip_skip ss_max_token_length ss_cache_latents ss_seed
ss_lowram ss_noise_offset ss_noise_offset_random_strength ss_multires_noise_iterations ss_multires_noise_discount
ss_adaptive_noise_scale ss_zero_terminal_snr ss_training_comment ss_sd_scripts_commit_hash ss_optimizer
ss_max_grad_norm ss_caption_dropout_rate ss_caption_dropout_every_n_epochs ss_caption_tag_dropout_rate
ss_face_crop_aug_range ss_prior_loss_weight ss_min_snr_gamma ss_scale_weight_norms ss_ip_noise_gamma
ss_ip_noise_gamma_random_strength ss_debiased_estimation ss_loss_type ss_huber_schedule ss_huber_scale ss_huber_c
ss_fp8_base ss_fp8_base_unet ss_validation_seed ss_validation_split ss_max_validation_steps ss_validate_every_n_epochs
ss_validate_every_n_steps ss_resize_interpolation ss_batch_size_per_device ss_total_batch_size ss_resolution
ss_color_aug ss_flip_aug ss_random_crop ss_shuffle_caption ss_enable_bucket ss_bucket_no_upscale ss_min_bucket_reso
ss_max_bucket_reso ss_keep_tokens ss_dataset_dirs ss_reg_dataset_dirs ss_tag_frequency ss_bucket_info ss_datasets
ss_sd_model_name ss_sd_model_hash ss_new_sd_model_hash ss_vae_name ss_vae_hash ss_new_vae_hash
"""
"""What sd-scripts 0.10 writes for LoRAs of Stable Diffusion."""
DOES_NOT_APPLY = {
    "ss_num_validation_images ss_validation_seed ss_validation_split ss_max_validation_steps "
    "ss_validate_every_n_epochs ss_validate_every_n_steps": "no pictures are held back to be tested with",
    "ss_datasets": "stands in place of the keys of one data set where there are several",
    "ss_sd_scripts_commit_hash": "names a version of another program",
    "ss_lowram": "says where models lie while they are loaded, which changes nothing in the file",
    "ss_fp8_base ss_fp8_base_unet": "the base model is never held in 8 bits",
    "ss_color_aug ss_face_crop_aug_range": "pictures are not changed in these ways",
    "ss_resize_interpolation": "there is one way to scale pictures",
}


def said(prediction: str = "epsilon", thumbnail: str = "", **sections: dict[str, object]) -> dict[str, str]:
    job = parse(sections)
    plan = make_plan(job)
    lengths = plan.steps, plan.steps_per_epoch, 1
    about = About(job, scan(job.dataset), plan, prediction, 0.0, *lengths, "A", hashing(job))
    return metadata(about, Injected({}, {}), Moment(1, 2), thumbnail)


def test_every_key_of_kohyas_scripts_is_written_or_does_not_apply(tmp_path: pathlib.Path) -> None:
    for name in ("base", "vae"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"x")
    model = {name: str(tmp_path / f"{name}.safetensors") for name in ("base", "vae")}
    written = {key for key in said(model=model) if key.startswith("ss_")}
    without = {key for keys in DOES_NOT_APPLY for key in keys.split()}
    assert not written & without
    assert written | without == set(KOHYAS_KEYS.split())


@pytest.mark.parametrize(
    ("family", "prediction", "version", "architecture"),
    [
        ("sd15", "epsilon", "sd_v1", "stable-diffusion-v1/lora"),
        ("sd15", "v", "sd_v1_v", "stable-diffusion-v1/lora"),
        ("sd2", "epsilon", "sd_v2", "stable-diffusion-v2-512/lora"),
        ("sd2", "v", "sd_v2_v", "stable-diffusion-v2-768-v/lora"),
        ("sdxl", "epsilon", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
        ("sdxl", "v", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
    ],
)
def test_the_kind_of_base_model_is_named_as_kohyas_scripts_do(
    family: str, prediction: str, version: str, architecture: str
) -> None:
    values = said(prediction, model={"family": family})
    found = [values[key] for key in ("ss_base_model_version", "modelspec.architecture", "modelspec.prediction_type")]
    assert found == [version, architecture, prediction]
    assert values["ss_v2"] == str(family == "sd2")


@pytest.mark.parametrize(("family", "skip"), [("sd15", "2"), ("sd2", "None")])
def test_clip_skip_is_named_only_where_it_was_used(family: str, skip: str) -> None:
    values = said(model={"family": family, "clip_skip": 2})
    assert values["ss_clip_skip"] == skip
    assert values.get("modelspec.encoder_layer", "None") == skip


def test_both_text_encoders_have_their_rate() -> None:
    training = {"text_encoder_learning_rate": 2e-5, "text_encoder_2_learning_rate": 1e-5}
    assert said(model={"family": "sdxl"}, training=training)["ss_text_encoder_lr"] == "[2e-05, 1e-05]"
    assert said(model={"family": "sd15"}, training=training)["ss_text_encoder_lr"] == "2e-05"
    assert said(training={"text_encoder": False})["ss_text_encoder_lr"] == "None"


def test_the_layers_of_xl_go_by_stability_ais_names() -> None:
    assert said(model={"family": "sdxl"})["modelspec.implementation"].endswith("Stability-AI/generative-models")


def test_a_base_model_in_one_file_is_named_by_the_hashes_that_other_programs_know_it_by(tmp_path: pathlib.Path) -> None:
    data = bytes(range(256)) * 5000
    base = tmp_path / "anime.safetensors"
    base.write_bytes(data)
    base.with_name("vae.safetensors").write_bytes(data[1:])
    values = said(model={"base": str(base), "vae": str(base.with_name("vae.safetensors"))})
    assert values["ss_sd_model_name"] == "anime.safetensors"
    assert values["ss_sd_model_hash"] == hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8]
    assert values["ss_new_sd_model_hash"] == hashlib.sha256(data).hexdigest()
    assert values["ss_vae_name"] == "vae.safetensors"
    assert values["ss_new_vae_hash"] == hashlib.sha256(data[1:]).hexdigest()


@pytest.mark.parametrize("base", ["starter", "somebody/some-model"])
def test_a_base_model_of_many_files_has_no_hash_and_keeps_its_whole_name(base: str) -> None:
    values = said(model={"base": base})
    assert values["ss_sd_model_name"] == base
    assert not {"ss_sd_model_hash", "ss_vae_name", "ss_vae_hash"} & values.keys()


def test_counts_are_those_of_all_processes_together() -> None:
    job = parse({"training": {"batch_size": 3, "gradient_accumulation": 2, "warmup_percent": 10, "epochs": 5}})
    plan = make_plan(job)
    about = About(job, scan(job.dataset), plan, "epsilon", 0.0, 40, 8, 2, "A", dict)
    values = metadata(about, Injected({}, {}), Moment(1, 2))
    assert values["ss_batch_size_per_device"] == "3"
    assert values["ss_total_batch_size"] == str(3 * 2 * 2)
    assert values["ss_num_batches_per_epoch"] == str(-(-plan.batches_per_epoch // 2))
    assert [values[key] for key in ("ss_max_train_steps", "ss_num_epochs", "ss_lr_warmup_steps")] == ["40", "5", "4"]


def test_two_runs_of_one_job_have_sessions_of_their_own() -> None:
    assert said()["ss_session_id"] != said()["ss_session_id"]


def test_an_optimizer_is_named_by_its_class_and_settings() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1)
    assert optimizer_name(optimizer, {"momentum": 0.9, "nesterov": True}) == (
        "torch.optim.sgd.SGD(momentum=0.9,nesterov=True)"
    )
    assert optimizer_name(optimizer, {}) == "torch.optim.sgd.SGD"


def test_another_vae_is_named_without_its_folder() -> None:
    assert said(model={"vae": "models/vae/own.safetensors"})["ss_vae_name"] == "own.safetensors"


def test_what_a_person_says_of_the_lora_stands_in_the_file() -> None:
    output = {
        "title": "みかん",
        "author": "K",
        "license": "CC0",
        "description": "An orange cat.",
        "tags": "cat , orange,",
        "usage_hint": "strength 0.8",
    }
    values = said(
        output=output, dataset={"trigger": "mikan"}, training={"min_timestep": 100}, thumbnail="data:image/jpeg;base64,"
    )
    found = {key.removeprefix("modelspec."): value for key, value in values.items() if key.startswith("modelspec.")}
    found.pop("date")
    assert found == {
        "sai_model_spec": "1.0.1",
        "architecture": "stable-diffusion-v1/lora",
        "implementation": "diffusers",
        "title": "みかん",
        "author": "K",
        "license": "CC0",
        "description": "An orange cat.",
        "tags": "cat, orange",
        "usage_hint": "strength 0.8",
        "trigger_phrase": "mikan",
        "thumbnail": "data:image/jpeg;base64,",
        "resolution": "512x512",
        "prediction_type": "epsilon",
        "timestep_range": "100,1000",
        "encoder_layer": "1",
    }
    assert values["ss_training_comment"] == "An orange cat."


def test_what_nobody_said_is_left_out_and_the_title_is_the_name() -> None:
    values = said(output={"name": "cat"})
    assert values["modelspec.title"] == "cat"
    unsaid = ("author", "license", "description", "tags", "usage_hint", "thumbnail", "trigger_phrase", "timestep_range")
    assert not {f"modelspec.{name}" for name in unsaid} & values.keys()
    assert values["ss_training_comment"] == "None"


def test_the_longest_texts_and_the_largest_thumbnail_leave_the_header_readable() -> None:
    lengths = {"title": 200, "author": 200, "license": 200, "description": 2000, "tags": 500, "usage_hint": 500}
    output = {name: "漢" * length for name, length in lengths.items()}
    values = said(thumbnail="x" * 40_100, output=output)
    values.pop("ss_tag_frequency")
    assert len(json.dumps(values, ensure_ascii=False).encode()) < 100_000


def test_how_far_pictures_are_from_their_buckets_is_said() -> None:
    job = parse({"dataset": {"buckets": False}})
    found = scan(job.dataset)
    wide = [dataclasses.replace(picture, width_px=300, height_px=200) for picture in found.subsets[0].pictures[:1]]
    found = dataclasses.replace(found, subsets=(dataclasses.replace(found.subsets[0], pictures=tuple(wide)),))
    about = About(job, found, make_plan(job, found), "epsilon", 0.0, 1, 1, 1, "A", dict)
    info = json.loads(metadata(about, Injected({}, {}), Moment(1, 2))["ss_bucket_info"])
    assert info["mean_img_ar_error"] == pytest.approx(0.5)


def test_the_files_that_it_began_with_are_named_without_their_folders() -> None:
    model = {"base_loras": ["/private/place/a.safetensors=0.5", "b.safetensors"]}
    values = said(model=model, adapter={"start_from": "/private/place/c.safetensors", "max_norm": 1})
    assert values["lora_atelier_base_loras"] == "a.safetensors=0.5, b.safetensors=1"
    assert values["lora_atelier_start_from"] == "c.safetensors"
    assert values["ss_scale_weight_norms"] == "1.0"
    assert not [value for value in values.values() if "private" in value]
