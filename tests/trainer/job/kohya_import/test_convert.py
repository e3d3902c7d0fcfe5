"""What Kohya's keys come to mean: one test for each thing that is easily got wrong."""

import json
import random
from typing import Any

import pytest

from tests.trainer.job.kohya_import.inputs import (
    DATASET,
    FINETUNING,
    FLUX,
    GENERATIONS,
    MIDDLE,
    MODERN,
    OLDEST,
    heading,
    imported,
    line,
    value,
)
from trainer.job import presets
from trainer.job.fields import flatten, specs
from trainer.job.kohya_import import report
from trainer.job.kohya_import.convert import Import, convert, rows
from trainer.job.kohya_import.read import read
from trainer.job.kohya_import.rows import PURPOSE
from trainer.job.words import table


def check_whole(made: Import, keys: int) -> None:
    """Every key stands under one heading, what is called taken over is in the job, and the job is read back."""
    assert sum(report.counts(made).values()) == keys == len(made.source)
    flat = flatten(made.job)
    for one in made.under("taken") + made.under("default"):
        for path, wanted in one.verdict.to.items():
            if path != PURPOSE:
                has = flat[path]
                assert wanted.items() <= has.items() if isinstance(wanted, dict) else has == wanted, (one, has)
    written = report.job_file(made)
    document = presets.document(json.loads(written.encode()), "job")
    assert not document.unknown
    assert document.job == made.job
    "\n".join(report.text(made)).encode()
    json.dumps(report.as_values(made))


@pytest.mark.parametrize("given", GENERATIONS.values(), ids=GENERATIONS)
def test_every_generation_gives_a_job_and_a_line_for_every_key(given: dict[str, Any]) -> None:
    made = imported(given)
    check_whole(made, len(given))
    assert [one.key for one in made.lines if not one.within] == list(given)
    assert not [one.key for one in made.lines if "unknown key" in one.verdict.why]


def test_every_row_has_its_setting_or_its_sentence() -> None:
    for row in set(rows().values()):
        assert bool(row.to or row.why) != bool(row.by), row
        assert not row.why or f"kohya_{row.why}" in table(), row


def test_no_name_is_in_two_rows() -> None:
    names = [name.lower() for row in set(rows().values()) for name in row.names.split()]
    assert len(names) == len(set(names)) == len(rows())


# ---- the adapter ----


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("Standard", ["lora"]),
        ("LoCon", ["locon"]),
        ("Kohya LoCon", ["locon"]),
        ("LyCORIS/LoCon", ["locon"]),
        ("LyCORIS/LoHa", ["loha", "locon"]),
        ("kohya lokr", ["lokr", "locon"]),
        ("LyCORIS/iA3", ["lora"]),
        ("LoRA-FA", ["lora"]),
        ("Something", ["lora"]),
    ],
)
def test_adapters_of_every_name_become_themselves_or_the_nearest(name: str, nearest: list[str]) -> None:
    here = next(one for one in nearest if one in specs()["adapter.type"].choices)
    made = imported({"LoRA_type": name, "conv_dim": 8})
    assert value(made, "adapter.type") == here
    same = here == nearest[0] and name not in ("LyCORIS/iA3", "LoRA-FA", "Something")
    assert (heading(made, "LoRA_type") != "unsupported") == same


def test_a_rank_of_100000_is_a_full_matrix() -> None:
    made = imported(MIDDLE)
    assert value(made, "adapter.rank") == specs()["adapter.rank"].default
    if "adapter.full_matrix" in specs():
        assert value(made, "adapter.full_matrix") is True
    else:
        assert heading(made, "network_dim") == "unsupported"
        assert "full matrix" in line(made, "network_dim").verdict.why


def test_convolutions_only_count_where_the_adapter_has_them() -> None:
    standard = imported({"LoRA_type": "Standard", "conv_dim": 8, "conv_alpha": 1})
    assert heading(standard, "conv_dim") == heading(standard, "conv_alpha") == "meaningless"
    locon = imported("--network_module=networks.lora --network_args conv_dim=4 conv_alpha=2")
    assert locon.job.adapter.model_dump(include={"type", "conv_rank", "conv_alpha"}) == {
        "type": "locon",
        "conv_rank": 4,
        "conv_alpha": 2.0,
    }
    lycoris = imported("--network_module lycoris.kohya --network_args algo=locon dropout=0.1")
    assert (lycoris.job.adapter.type, lycoris.job.adapter.dropout) == ("locon", 0.1)


@pytest.mark.parametrize(
    ("preset", "under", "targets"),
    [
        ("full", "default", "auto"),
        ("attn-mlp", "taken", "linear"),
        ("attn-only", "taken", "attention"),
        ("full-lin", "unsupported", "linear"),
        ("unet-transformer-only", "unsupported", "linear"),
        ("unet-convblock-only", "unsupported", "auto"),
        ("my own.toml", "unsupported", "auto"),
    ],
)
def test_lycoris_presets_choose_the_layers(preset: str, under: str, targets: str) -> None:
    made = imported({"LoRA_type": "LyCORIS/LoHa", "LyCORIS_preset": preset})
    assert (heading(made, "LyCORIS_preset"), value(made, "adapter.targets")) == (under, targets)
    other = imported({"LoRA_type": "Standard", "LyCORIS_preset": preset})
    assert heading(other, "LyCORIS_preset") in ("meaningless", "default")
    assert value(other, "adapter.targets") == "auto"


def test_what_lycoris_has_besides_is_taken_over() -> None:
    made = imported(
        "--network_module lycoris.kohya --network_args algo=lokr factor=8 full_matrix=True dora_wd=True rs_lora=True "
        "rank_dropout=0.1 module_dropout=0.2 rank_dropout_scale=True wd_on_output=True bypass_mode=True"
    )
    adapter = made.job.adapter
    assert (adapter.type, adapter.factor, adapter.full_matrix, adapter.decompose) == ("lokr", 8, True, True)
    assert (adapter.rank_stabilised, adapter.rank_dropout, adapter.module_dropout) == (True, 0.1, 0.2)
    under = {one.key: one.verdict.heading for one in made.lines}
    assert under["dora_wd"] == "taken"
    assert "columns" in next(one for one in made.lines if one.key == "dora_wd").verdict.why
    assert (under["rank_dropout_scale"], under["wd_on_output"]) == ("default", "unsupported")
    assert under["bypass_mode"] == "meaningless"


def test_rank_dropout_that_is_not_scaled_is_said_to_be() -> None:
    """sd-scripts' own modules always scale; the key stands in every file of the GUI."""
    for kind, dropout, under in (
        ("LyCORIS/LoHa", 0.1, "unsupported"),
        ("LyCORIS/LoHa", 0, "default"),
        ("Kohya LoCon", 0.1, "default"),
    ):
        given = {"LoRA_type": kind, "rank_dropout": dropout, "rank_dropout_scale": False}
        assert heading(imported(given), "rank_dropout_scale") == under


def test_an_alpha_of_0_is_the_rank() -> None:
    assert value(imported(MODERN), "adapter.alpha") == 16


# ---- zeros, seeds, text and odd values ----


def test_zeros_stay_zeros() -> None:
    made = imported(MODERN)
    assert value(made, "training.max_grad_norm") == 0
    assert value(made, "output.save_every_epochs") == 0
    assert value(made, "training.seed") == 0
    assert heading(made, "seed") == "taken"


def test_an_empty_seed_is_said_to_be_fixed_here() -> None:
    made = imported(MIDDLE)
    assert heading(made, "seed") == "default"
    assert "random" in line(made, "seed").verdict.why


@pytest.mark.parametrize(
    ("size", "side", "where"),
    [
        ("768,768", 768, "taken"),
        ("640", 640, "taken"),
        (640, 640, "taken"),
        ("512,650", 577, "taken"),
        ("512x768", 628, "taken"),
        ("wide", 512, "unsupported"),
        ("0,512", 512, "unsupported"),
        ("512,512,3", 512, "unsupported"),
        ("512,512", 512, "default"),
    ],
)
def test_sizes_are_squares_here(size: object, side: int, where: str) -> None:
    made = imported({"max_resolution": size})
    assert value(made, "dataset.resolution") == side
    assert heading(made, "max_resolution") == where


def test_only_the_noise_that_was_chosen_counts() -> None:
    made = imported({**MIDDLE, "noise_offset_type": "Multires"})
    assert heading(made, "noise_offset") == "meaningless"
    assert value(made, "training.noise_offset") == 0
    made = imported({**MIDDLE, "noise_offset_type": "Original"})
    assert value(made, "training.noise_offset") == 0.0357
    assert heading(made, "multires_noise_iterations") == "meaningless"


def test_prompts_keep_what_can_be_used_of_them() -> None:
    made = imported(MIDDLE)
    assert value(made, "samples.prompts") == ["a cat --n blurry --w 512 --h 768", "a dog --s 28"]
    assert "--ss" in line(made, "sample_prompts").verdict.why
    assert value(made, "samples.every_epochs") == 2


@pytest.mark.parametrize(
    ("given", "epochs", "steps"),
    [
        ({"sample_every_n_steps": 25}, 0, 25),
        ({"sample_every_n_steps": "25", "sample_every_n_epochs": 0}, 0, 25),
        ({"sample_every_n_steps": 25, "sample_every_n_epochs": 3}, 3, 0),
        ({"sample_every_n_steps": 0, "sample_every_n_epochs": 0}, 0, 0),
    ],
)
def test_samples_come_as_often_as_at_kohyas(given: dict[str, Any], epochs: int, steps: int) -> None:
    made = imported({**given, "save_every_n_steps": 50})
    assert (value(made, "samples.every_epochs"), value(made, "samples.every_steps")) == (epochs, steps)
    assert value(made, "output.save_every_steps") == 50
    assert not made.under("unsupported")


def test_places_that_were_never_filled_in_are_no_paths() -> None:
    made = imported(MODERN)
    assert heading(made, "output_dir") == "meaningless"
    assert value(made, "output.folder") == "outputs"
    assert value(made, "dataset.folder") == "D:\\pictures\\cat"


def test_a_name_that_no_file_can_have_is_changed_and_said() -> None:
    made = imported(MODERN)
    assert value(made, "output.name") == "cat- the first"
    assert heading(made, "output_name") == "unsupported"


def test_a_name_is_as_long_as_it_can_be() -> None:
    made = imported({"output_name": "猫" * 100})
    assert value(made, "output.name") == "猫" * 66
    assert heading(made, "output_name") == "unsupported"


def test_a_model_that_has_moved_is_found() -> None:
    assert value(imported(MODERN), "model.base") == "stable-diffusion-v1-5/stable-diffusion-v1-5"


def test_precisions_have_other_names() -> None:
    assert value(imported(MODERN), "output.save_precision") == "fp32"
    assert value(imported({"mixed_precision": "fp8"}), "training.precision") == "bf16"


@pytest.mark.parametrize(("length", "read"), [("225", 225), (150, 150), (75, 75), (0, 75), ("", 75), (100, 75)])
def test_long_captions_are_read_as_far_as_kohya_reads_them(length: object, read: int) -> None:
    made = imported({"max_token_length": length})
    assert value(made, "training.caption_tokens") == read
    assert (heading(made, "max_token_length") == "unsupported") == (length == 100)


@pytest.mark.parametrize(
    ("size", "side", "given"),
    [("512,768", 576, {"enable_bucket": False}), ("512,768", 628, {"bucket_reso_steps": 8})],
)
def test_sizes_that_are_no_squares_cannot_always_be_kept(size: str, side: int, given: dict[str, Any]) -> None:
    made = imported({"max_resolution": size, **given})
    assert (value(made, "dataset.resolution"), heading(made, "max_resolution")) == (side, "unsupported")


def test_a_square_of_as_many_pixels_has_the_same_buckets() -> None:
    for width, height in ((512, 768), (640, 448), (832, 1216), (512, 650)):
        side = value(imported({"max_resolution": f"{width},{height}"}), "dataset.resolution")
        theirs = {(w, width * height // w // 64 * 64) for w in range(256, 2049, 64)}
        ours = {(w, side * side // w // 64 * 64) for w in range(256, 2049, 64)}
        assert theirs == ours


@pytest.mark.parametrize(
    ("ending", "read"),
    [(".none-use-foldername", None), (".txt2", None), ("cap", ".cap"), (".TXT", ""), (".caption", None)],
)
def test_captions_end_as_kohyas_do(ending: str, read: str | None) -> None:
    assert value(imported({"caption_extension": ending}), "dataset.caption_extension") == (
        ending if read is None else read
    )


def test_an_ending_that_no_file_can_have_is_named() -> None:
    assert heading(imported({"caption_extension": "../x"}), "caption_extension") == "unsupported"


# ---- families and other tabs ----


def test_stable_diffusion_2_is_a_family() -> None:
    made = imported({"v2": True, "v_parameterization": True})
    assert (value(made, "model.family"), value(made, "model.prediction")) == ("sd2", "v")
    assert value(imported({"v2": True, "v_parameterization": False}), "model.prediction") == "epsilon"


def test_a_family_that_cannot_be_trained_still_gives_a_job_and_is_said_first() -> None:
    made = imported(FLUX)
    if "flux" not in specs()["model.family"].choices:
        assert heading(made, "flux1_checkbox") == "unsupported"
        assert "FLUX.1 cannot be trained yet" in line(made, "flux1_checkbox").verdict.why
        assert any("FLUX.1" in note for note in made.notes)
    assert value(made, "training.learning_rate") == 3e-4


def test_keys_of_other_families_mean_nothing() -> None:
    assert heading(imported({"discrete_flow_shift": 2}), "discrete_flow_shift") == "meaningless"
    assert heading(imported({**FLUX, "discrete_flow_shift": 2}), "discrete_flow_shift") == "unsupported"


def test_the_other_tabs_of_kohyas_gui_give_a_lora() -> None:
    made = imported(FINETUNING)
    assert value(made, "dataset.folder") == "/pictures/all"
    assert value(made, "training.batch_size") == 2
    assert value(made, "training.learning_rate") == 1e-5
    assert value(made, "training.text_encoder_learning_rate") == 5e-6


# ---- commands, config files, data sets ----

COMMAND = """accelerate launch --num_cpu_threads_per_process=2 --mixed_precision bf16 "./train_network.py" \\
  --pretrained_model_name_or_path=/models/base.safetensors --train_data_dir "./my pictures" \\
  --network_module=networks.lora --network_dim 8 --learning_rate=1e-4 --max_train_epochs 3 --seed 7 --xformers
"""


def test_a_command_takes_its_programs_own_defaults() -> None:
    made = imported(COMMAND)
    check_whole(made, 11)
    assert value(made, "adapter.alpha") == made.assumed["adapter.alpha"] == 1
    assert value(made, "training.schedule") == made.assumed["training.schedule"] == "constant"
    assert value(made, "dataset.buckets") is False
    assert value(made, "training.precision") == "no"
    assert heading(made, "--mixed_precision") == heading(made, "--xformers") == "meaningless"


def test_a_command_without_a_length_trains_1600_steps() -> None:
    assert value(imported("--network_dim=4 --learning_rate=1e-4"), "training.steps") == 1600


def test_the_program_tells_the_family() -> None:
    made = imported("python sdxl_train_network.py --network_dim 4")
    assert heading(made, "program") in ("taken", "unsupported")
    assert heading(imported("python train_db.py --seed 4"), "program") == "unsupported"


def test_a_data_set_counts_more_than_the_rest() -> None:
    made = imported(DATASET)
    check_whole(made, 11)
    assert value(made, "dataset.folder") == "/pictures/set"
    assert value(made, "training.batch_size") == 4
    assert value(made, "dataset.keep_tokens") == 2
    assert heading(made, "datasets[0].subsets[1].image_dir") == "taken"
    assert heading(made, "datasets[0].subsets[1].num_repeats") == "default"
    assert heading(made, "datasets[0].subsets[1].flip_aug") == "unsupported"


def test_one_subset_gives_its_folder_and_repeats() -> None:
    made = imported('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "/pictures/cat"\nnum_repeats = 6\n')
    assert value(made, "dataset.folder") == "/pictures/cat"
    assert value(made, "dataset.default_repeats") == 6


@pytest.mark.parametrize(
    ("folders", "folder"), [(("D:/a/x", "D:/a/y"), "D:/a"), (("D:/x", "D:/y"), "D:/x"), (("/x", "/y"), "/x")]
)
def test_subsets_are_taken_together_but_for_a_whole_drive(folders: tuple[str, str], folder: str) -> None:
    made = imported("[[datasets]]\n" + "".join(f'[[datasets.subsets]]\nimage_dir = "{one}"\n' for one in folders))
    assert value(made, "dataset.folder") == folder
    why = line(made, "datasets[0].subsets[0].image_dir").verdict.why
    assert ("every folder in it" in why) == (folder == "D:/a")


def test_flags_behind_the_preset_win() -> None:
    made = imported({"max_grad_norm": 1, "additional_parameters": "--max_grad_norm=0.5 --unheard_of"})
    assert value(made, "training.max_grad_norm") == 0.5
    assert heading(made, "max_grad_norm") == "meaningless"
    assert heading(made, "additional_parameters: --unheard_of") == "unsupported"
    assert heading(made, "additional_parameters") == "unsupported"


def test_what_is_packed_twice_is_judged_by_what_is_in_it() -> None:
    made = imported({"LoRA_type": "Standard", "additional_parameters": '--network_args "conv_dim=8" --seed 3'})
    assert heading(made, "additional_parameters") == "taken"
    assert heading(made, "additional_parameters: --network_args") == "meaningless"


def test_a_key_without_a_name_holds_no_others() -> None:
    made = imported({"network_dim": 4, "unheard": 1, "": 2})
    assert line(made, "").value == "2"


def test_a_path_whose_quotation_marks_were_forgotten_is_put_together() -> None:
    made = imported("python train_network.py --train_data_dir D:\\my pictures\\cat --seed 3")
    assert value(made, "dataset.folder") == "D:\\my pictures\\cat"


# ---- what Kohya's GUI has where a preset lacks a key, and what is no LoRA ----


def test_what_a_preset_lacks_is_as_the_gui_shows_it() -> None:
    made = imported({"LoRA_type": "LyCORIS/LoCon", "network_dim": 32, "network_alpha": ""})
    assumed = {"adapter.conv_rank": 1, "adapter.conv_alpha": 1, "training.optimizer": "AdamW8bit"}
    assumed |= {"training.warmup_percent": 10, "training.precision": "fp16", "training.steps": 1600}
    assert {path: value(made, path) for path in assumed} == assumed
    assert assumed.items() <= made.assumed.items()
    assert value(made, "adapter.rank") == 32
    assert value(made, "adapter.alpha") == specs()["adapter.alpha"].default, "it was emptied"


def test_no_length_is_assumed_where_there_is_one() -> None:
    made = imported({"LoRA_type": "Standard", "epoch": 3, "lr_warmup_steps": 20, "use_8bit_adam": False})
    assert (value(made, "training.epochs"), value(made, "training.steps")) == (3, 0)
    assert (value(made, "training.warmup_percent"), value(made, "training.optimizer")) == (0, "AdamW")


# ---- whatever else ----

ODD = (None, True, False, 0, -1, 0.0, 1e308, float("nan"), float("-inf"), "", "0", "abc", "[", "\ud800", 10**30)
ODD += ("None", "a=b c 'd", '--x=1 "', "512,x", "betas=1, 2", "--network_args algo=lokr --optimizer_args d0=1")
ODD += ("Prodigy", "LyCORIS/LoKr", 100000, "Multires", "a --n b --w 3", [], [[]], [1, "a"], {}, {"a": {"b": [1]}})


@pytest.mark.parametrize("seed", range(40))
def test_no_values_make_it_fail_or_forget_a_key(seed: int) -> None:
    chance = random.Random(seed)
    names = [*rows(), "unheard", "", "a b", "LoRA_type", "optimizer_args"]
    given = {chance.choice(names): chance.choice(ODD) for _ in range(chance.randrange(1, 60))}
    check_whole(imported(given), len(given))


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_no_value_at_all_keys_at_once_makes_it_fail(odd: object) -> None:
    check_whole(imported(dict.fromkeys(rows(), odd)), len(rows()))


def test_ten_thousand_keys_are_no_trouble() -> None:
    given = {f"key {number}": number for number in range(10_000)}
    made = imported(given)
    assert len(made.under("unsupported")) == 10_000


def test_no_access_key_is_shown_or_written() -> None:
    for given in (MIDDLE, MODERN, {"additional_parameters": "--wandb_api_key=0123456789abcdef", "output_name": "x"}):
        made = imported(given)
        everything = "\n".join(report.text(made)) + json.dumps(report.as_values(made)) + report.job_file(made)
        assert "0123456789abcdef" not in everything
        assert "hf_abc" not in everything


def test_a_comment_becomes_the_purpose_of_the_preset() -> None:
    made = imported(OLDEST)
    assert made.purpose == "trigger: mikan"
    assert json.loads(report.job_file(made))["purpose"] == "trigger: mikan"


def test_an_import_can_be_made_twice_with_the_same_result() -> None:
    source = read(json.dumps(MODERN).encode(), "cat.json")
    assert report.job_file(convert(source)) == report.job_file(convert(source))


def test_an_optimizer_that_averages_follows_no_schedule() -> None:
    made = imported({"optimizer": "AdamWScheduleFree", "lr_scheduler": "cosine", "lr_warmup": 10})
    assert (value(made, "training.optimizer"), value(made, "training.schedule")) == ("AdamWScheduleFree", "constant")
    assert value(made, "training.warmup_percent") == 0
    assert heading(made, "lr_scheduler") == heading(made, "lr_warmup") == "meaningless"


def test_adafactor_and_lion_are_not_told_what_they_do_anyway() -> None:
    made = imported({"optimizer": "Adafactor", "optimizer_args": "relative_step=False warmup_init=True"})
    assert value(made, "training.optimizer_args") == {"scale_parameter": True}
    assert heading(made, "optimizer_args: relative_step") == "default"
    assert heading(made, "optimizer_args: warmup_init") == "unsupported"
    made = imported(
        {"optimizer": "DAdaptLion", "optimizer_args": "decouple=True", "unet_lr": 1, "text_encoder_lr": 0.5}
    )
    assert value(made, "training.optimizer_args") == {"betas": [0.9, 0.99]}, "the library's own"
    assert value(made, "training.text_encoder_learning_rate") == 1


@pytest.mark.parametrize("offset", [0, "", -1])
def test_what_only_changes_the_noise_offset_is_off_with_it(offset: object) -> None:
    made = imported({"noise_offset": offset, "adaptive_noise_scale": 0.1, "noise_offset_random_strength": True})
    assert (value(made, "training.adaptive_noise_scale"), value(made, "training.noise_offset_random")) == (0, False)
    assert heading(made, "adaptive_noise_scale") == "meaningless"


@pytest.mark.parametrize("wrong", [{"huber_c": 0}, {"huber_scale": 0}, {"min_timestep": 1000}])
def test_one_impossible_value_takes_no_others_with_it(wrong: dict[str, Any]) -> None:
    made = imported({"learning_rate": 2e-4, "optimizer": "Lion", **wrong})
    assert (value(made, "training.learning_rate"), value(made, "training.optimizer")) == (2e-4, "Lion")
    assert [one.key for one in made.under("unsupported")] == list(wrong)


@pytest.mark.parametrize(
    ("given", "path", "wanted"),
    [
        ({"loss_type": "huber", "huber_c": 0.2}, "training.huber_c", 0.2),
        ({"ip_noise_gamma": 0.1, "min_timestep": False}, "training.input_perturbation", 0.1),
        ({"noise_offset_type": "Multires", "multires_noise_iterations": 8}, "training.multires_noise_levels", 8),
        ({"noise_offset": 0.03, "adaptive_noise_scale": 0.005}, "training.adaptive_noise_scale", 0.005),
        ({"reg_data_dir": "/pictures/reg", "prior_loss_weight": 0}, "training.prior_loss_weight", 0),
        ({"prior_loss_weight": 0.0}, "training.prior_loss_weight", 0),
        ({"debiased_estimation_loss": True}, "training.debiased_estimation", True),
        ({"lr_scheduler": "cosine_with_min_lr", "lr_scheduler_args": "min_lr_rate=0.2"}, "training.schedule", None),
        ("--lr_scheduler cosine_with_min_lr --lr_scheduler_min_lr_ratio 0", "training.schedule_min_ratio", 0),
        ("--caption_prefix 'a photo,' --enable_wildcard", "dataset.caption_prefix", "a photo,"),
        ("--masked_loss --alpha_mask", "dataset.masked_loss", "alpha"),
    ],
)
def test_what_kohyas_users_have_in_their_presets_is_taken_over(given: object, path: str, wanted: object) -> None:
    made = imported(given)
    assert value(made, path) == (wanted if wanted is not None else "cosine_with_min_lr")
    assert not [one.key for one in made.under("unsupported")]


# ---- what the file says of itself ----


def test_what_a_person_says_of_the_lora_is_taken_over() -> None:
    names = ("title", "author", "description", "license", "tags", "usage_hint")
    made = imported({"LoRA_type": "Standard", **{f"metadata_{name}": f"a {name}" for name in names}})
    assert [value(made, f"output.{name}") for name in names] == [f"a {name}" for name in names]
    assert not made.under("unsupported")


def test_a_comment_is_the_purpose_and_where_there_is_no_other_the_description() -> None:
    alone = imported({"LoRA_type": "Standard", "training_comment": "for cats"})
    both = imported({"LoRA_type": "Standard", "training_comment": "for cats", "metadata_description": "A cat."})
    assert (alone.purpose, value(alone, "output.description")) == ("for cats", "for cats")
    assert (both.purpose, value(both, "output.description")) == ("for cats", "A cat.")


def test_a_text_that_is_too_long_is_cut_and_that_is_said() -> None:
    made = imported({"LoRA_type": "Standard", "metadata_author": "K" * 300, "training_comment": "c" * 3000})
    assert (value(made, "output.author"), value(made, "output.description")) == ("K" * 200, "c" * 2000)
    assert made.purpose == "c" * 3000
    assert {heading(made, key) for key in ("metadata_author", "training_comment")} == {"unsupported"}
