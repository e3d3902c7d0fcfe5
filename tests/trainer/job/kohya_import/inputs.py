"""Small inputs as each generation of Kohya's programs writes them, and how a test imports one."""

import json
from typing import Any

from trainer.job.fields import flatten
from trainer.job.kohya_import.convert import Import, Line, convert
from trainer.job.kohya_import.read import read

# The first GUIs: numbers as texts, nothing as "", switches for what are choices today.
OLDEST: dict[str, Any] = {
    "LoRA_type": "LoCon",
    "additional_parameters": "",
    "bucket_reso_steps": 64.0,
    "cache_latents": True,
    "caption_extension": ".txt",
    "clip_skip": "2",
    "conv_alpha": 4,
    "conv_dim": 8,
    "epoch": 12,
    "gradient_accumulation_steps": "1",
    "keep_tokens": "1",
    "learning_rate": "0.0001",
    "lora_network_weights": "",
    "lr_scheduler": "cosine_with_restarts",
    "lr_scheduler_num_cycles": "",
    "lr_warmup": "5",
    "max_data_loader_n_workers": "1",
    "max_resolution": "512,768",
    "max_token_length": "75",
    "max_train_epochs": "",
    "mixed_precision": "bf16",
    "network_alpha": 16,
    "network_dim": 32,
    "no_token_padding": False,
    "noise_offset": "0.05",
    "optimizer": "AdamW8bit",
    "seed": "1234",
    "stop_text_encoder_training_pct": 0,
    "text_encoder_lr": "5e-05",
    "train_batch_size": 3,
    "training_comment": "trigger: mikan",
    "unet_lr": "0.0001",
    "use_8bit_adam": False,
    "v2": False,
    "xformers": True,
}

# A few years later: LyCORIS, self-tuning optimizers, the noise with its own choice.
MIDDLE: dict[str, Any] = {
    "LoRA_type": "LyCORIS/LoKr",
    "LyCORIS_preset": "full",
    "additional_parameters": '--network_train_unet_only --lr_scheduler_args "eta_min=0e-0" --log_prefix=kr',
    "adaptive_noise_scale": 0.005,
    "conv_dim": 100000,
    "epoch": 20,
    "factor": 6,
    "learning_rate": 1.0,
    "lr_scheduler": "constant",
    "max_resolution": "512,512",
    "max_train_steps": "",
    "min_timestep": False,
    "multires_noise_discount": 0.2,
    "multires_noise_iterations": 8,
    "network_alpha": 1,
    "network_dim": 100000,
    "noise_offset": 0.0357,
    "noise_offset_type": "Multires",
    "optimizer": "Prodigy",
    "optimizer_args": '"decouple=True" "weight_decay=0.1" "betas=0.9,0.91" "growth_rate=2"',
    "sample_prompts": "a cat --n blurry --w 512 --h 768 --ss euler_a\n# no\na dog --s 28",
    "sample_every_n_epochs": 2,
    "sdxl": False,
    "seed": "",
    "text_encoder_lr": 1.0,
    "unet_lr": 1.0,
    "use_cp": True,
    "wandb_api_key": "0123456789abcdef",
    "xformers": "xformers",
}

# Today: numbers are numbers, every family has its own keys, zeros stand for "off".
MODERN: dict[str, Any] = {
    "LoRA_type": "Standard",
    "anima_compile": False,
    "blocks_to_swap": 0,
    "bucket_no_upscale": False,
    "discrete_flow_shift": 3,
    "dynamo_backend": "no",
    "epoch": 8,
    "flux1_checkbox": False,
    "huggingface_repo_id": "me/cat",
    "huggingface_token": "hf_abcdefghijklmnopqrstuvwx",
    "learning_rate": 0.0001,
    "log_tracker_name": "run of hf_abcdefghijklmnopqrstuvwx",
    "loss_type": "l2",
    "lr_scheduler": "constant_with_warmup",
    "lr_warmup": 10,
    "lr_warmup_steps": 0,
    "max_grad_norm": 0,
    "max_train_epochs": 0,
    "max_train_steps": 1600,
    "mixed_precision": "bf16",
    "network_alpha": 0,
    "network_dim": 16,
    "noise_offset": 0,
    "noise_offset_type": "Original",
    "optimizer": "AdamW",
    "optimizer_args": "",
    "output_dir": "put the full path to output folder here",
    "output_name": "cat: the first",
    "pretrained_model_name_or_path": "runwayml/stable-diffusion-v1-5",
    "save_every_n_epochs": 0,
    "save_precision": "float",
    "sdxl": False,
    "seed": 0,
    "text_encoder_lr": 0,
    "train_data_dir": "D:\\pictures\\cat",
    "unet_lr": 0.0002,
    "v2": False,
    "xformers": "sdpa",
}

FLUX: dict[str, Any] = {
    "LoRA_type": "Flux1",
    "ae": "ae.safetensors",
    "flux1_checkbox": True,
    "guidance_scale": 1,
    "network_dim": 16,
    "timestep_sampling": "sigmoid",
    "unet_lr": 0.0003,
    "text_encoder_lr": 0,
}

FINETUNING: dict[str, Any] = {
    "batch_size": 1,
    "create_caption": True,
    "dataset_repeats": "10",
    "image_folder": "/pictures/all",
    "learning_rate": 1e-05,
    "learning_rate_te": 5e-06,
    "max_train_steps": "4000",
    "optimizer": "Lion",
    "sdxl_checkbox": False,
    "train_batch_size": 2,
    "train_text_encoder": True,
    "use_latent_files": "Yes",
}

GENERATIONS = {"oldest": OLDEST, "middle": MIDDLE, "modern": MODERN, "flux": FLUX, "finetuning": FINETUNING}

DATASET = """
[general]
shuffle_caption = true
keep_tokens = 2

[[datasets]]
resolution = 512
batch_size = 4

[[datasets.subsets]]
image_dir = "/pictures/set/10_cat"
num_repeats = 10

[[datasets.subsets]]
image_dir = "/pictures/set/5_dog"
num_repeats = 5
flip_aug = true

[[datasets.subsets]]
is_reg = true
image_dir = "/pictures/reg"
"""


def imported(given: object) -> Import:
    """The import of a dict as Kohya's GUI would save it, or of a text as it is."""
    text = given if isinstance(given, str) else json.dumps(given)
    return convert(read(text.encode(), "cat.json"))


def line(made: Import, key: str) -> Line:
    """What is said about one key."""
    found = [one for one in made.lines if (f"{one.within}: {one.key}" if one.within else one.key) == key]
    assert len(found) == 1, f"{key}: {len(found)} lines"
    return found[0]


def heading(made: Import, key: str) -> str:
    """The heading that one key stands under."""
    return line(made, key).verdict.heading


def value(made: Import, path: str) -> Any:
    """The value of a setting in the job."""
    return flatten(made.job)[path]
