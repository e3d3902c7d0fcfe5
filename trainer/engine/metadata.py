"""The metadata of a LoRA file: the `ss_*` keys that Kohya's scripts write and other programs show, and modelspec.

Counts are those of the whole training, however many processes share it, but where a name says otherwise.
"""

import dataclasses
import datetime
import math
import os
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence

import torch

from trainer.adapters.base import Injected
from trainer.dataset import buckets
from trainer.dataset.captions import tag_frequency
from trainer.dataset.plan import Plan
from trainer.dataset.scan import Scan, Subset
from trainer.engine.modelspec import modelspec
from trainer.engine.network import learning_metadata, network_metadata
from trainer.engine.sampling import Moment
from trainer.engine.schedules import warmup_steps
from trainer.formats.kohya import text
from trainer.job.facts import FAMILIES
from trainer.job.lora_files import weighted
from trainer.job.settings import Job, Training


@dataclasses.dataclass(frozen=True)
class About:
    """What the metadata is made from, besides the moment of saving.

    `steps` are optimizer steps in all; `processes` share the batches of each. `base_hashes` gives the metadata of the
    models' files, and waits until they are known. `zero_terminal_snr` is whether the noise ends without any signal,
    `session` a number that no other run has.
    """

    job: Job
    scan: Scan
    plan: Plan
    prediction: str
    started: float
    steps: int
    per_epoch: int
    processes: int
    optimizer: str
    base_hashes: Callable[[], Mapping[str, str]]
    zero_terminal_snr: bool = False
    session: int = dataclasses.field(default_factory=lambda: uuid.uuid4().int % 2**32)


def metadata(about: About, injected: Injected, moment: Moment, thumbnail: str = "") -> dict[str, str]:
    """Every key with its value as text; facts of the job, of the data set and of this moment."""
    job = about.job
    values = {
        **_run(about, moment),
        **_base(about),
        **_training(about),
        **_objective(job.training),
        **_dataset(about),
        **_network(job, injected),
    }
    named = {name: text(value) for name, value in values.items()}
    return {**named, **about.base_hashes(), **modelspec(job, about.prediction, thumbnail)}


def optimizer_name(optimizer: torch.optim.Optimizer, args: Mapping[str, object]) -> str:
    """`module.Class(name=value,…)`, as Kohya's scripts name what they train with."""
    given = ",".join(f"{name}={value}" for name, value in args.items())
    kind = type(getattr(optimizer, "optimizer", optimizer))
    return f"{kind.__module__}.{kind.__qualname__}" + (f"({given})" if given else "")


def _run(about: About, moment: Moment) -> Mapping[str, object]:
    output = about.job.output
    return {
        "ss_session_id": about.session,
        "ss_output_name": output.name,
        "ss_training_comment": output.description or None,
        "ss_training_started_at": about.started,
        "ss_training_finished_at": datetime.datetime.now().timestamp(),
        "ss_epoch": moment.epoch,
        "ss_steps": moment.step,
        "ss_num_epochs": math.ceil(about.steps / about.per_epoch),
        "ss_max_train_steps": about.steps,
    }


def _base(about: About) -> Mapping[str, object]:
    model, family = about.job.model, FAMILIES[about.job.model.family]
    most = about.job.training.caption_tokens
    return {
        "ss_sd_model_name": _file_name(model.base),
        **({"ss_vae_name": _file_name(model.vae)} if model.vae else {}),
        "ss_base_model_version": family.versions[about.prediction],
        "ss_v2": "zero_padding" in family.capabilities,
        "ss_clip_skip": model.clip_skip if "clip_skip" in family.capabilities else None,
        "ss_max_token_length": None if most == 75 else most,
        "ss_zero_terminal_snr": about.zero_terminal_snr,
    }


def _file_name(model: str) -> str:
    """A path's last part; the id of a model on the hub as it is."""
    is_path = pathlib.PurePath(model).suffix == ".safetensors" or os.path.exists(os.path.expanduser(model))
    return pathlib.PurePath(model).name if is_path else model


def _training(about: About) -> Mapping[str, object]:
    training = about.job.training
    return {
        "ss_learning_rate": training.learning_rate,
        "ss_unet_lr": training.learning_rate,
        "ss_text_encoder_lr": _text_rates(about.job) if training.text_encoder else None,
        "ss_optimizer": about.optimizer,
        "ss_lr_scheduler": training.schedule,
        "ss_lr_warmup_steps": warmup_steps(training, about.steps),
        "ss_gradient_accumulation_steps": training.gradient_accumulation,
        "ss_gradient_checkpointing": training.gradient_checkpointing,
        "ss_mixed_precision": training.precision,
        "ss_full_fp16": False,
        "ss_cache_latents": True,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_seed": training.seed,
        "ss_prior_loss_weight": training.prior_loss_weight,
    }


def _text_rates(job: Job) -> float | list[float]:
    """The rate of the text encoder, or those of both where there are two."""
    first, second = job.training.text_encoder_learning_rate, job.training.text_encoder_2_learning_rate
    two = "text_encoder_2" in FAMILIES[job.model.family].capabilities
    return [first, second or first] if two else first


def _objective(training: Training) -> Mapping[str, object]:
    """Noise and loss; what is off is None, as Kohya's scripts write it."""
    huber, offset = training.loss in ("huber", "smooth_l1"), bool(training.noise_offset)
    multires, perturbed = training.multires_noise_levels or None, training.input_perturbation or None
    return {
        "ss_noise_offset": training.noise_offset or None,
        "ss_noise_offset_random_strength": training.noise_offset_random if offset else None,
        "ss_adaptive_noise_scale": training.adaptive_noise_scale or None,
        "ss_multires_noise_iterations": multires,
        "ss_multires_noise_discount": training.multires_noise_discount if multires else None,
        "ss_ip_noise_gamma": perturbed,
        "ss_ip_noise_gamma_random_strength": training.input_perturbation_random if perturbed else None,
        "ss_min_snr_gamma": training.min_snr_gamma or None,
        "ss_debiased_estimation": training.debiased_estimation,
        "ss_loss_type": training.loss,
        "ss_huber_schedule": training.huber_schedule if huber else None,
        "ss_huber_scale": training.huber_scale if huber else None,
        "ss_huber_c": training.huber_c if huber else None,
    }


def _dataset(about: About) -> Mapping[str, object]:
    settings, plan, training = about.job.dataset, about.plan, about.job.training
    rows = {
        str(n): {"resolution": [row.width_px, row.height_px], "count": row.repeated} for n, row in enumerate(plan.rows)
    }
    scan = about.scan
    separator = settings.caption_separator
    frequency = tag_frequency(_captions(scan.regularisation), "", separator)
    frequency |= tag_frequency(_captions(scan.subsets), settings.trigger, separator)
    return {
        "ss_num_train_images": plan.repeated - plan.regularisation,
        "ss_num_reg_images": plan.regularisation,
        "ss_num_batches_per_epoch": math.ceil(plan.batches_per_epoch / about.processes),
        "ss_batch_size_per_device": training.batch_size,
        "ss_total_batch_size": training.batch_size * training.gradient_accumulation * about.processes,
        "ss_resolution": f"({settings.resolution}, {settings.resolution})",
        "ss_enable_bucket": settings.buckets,
        "ss_bucket_no_upscale": not settings.upscale,
        "ss_min_bucket_reso": settings.bucket_min_px,
        "ss_max_bucket_reso": settings.bucket_max_px,
        "ss_flip_aug": settings.flip,
        "ss_random_crop": settings.random_crop,
        "ss_shuffle_caption": settings.shuffle_captions,
        "ss_keep_tokens": settings.keep_tokens,
        "ss_caption_dropout_rate": settings.caption_dropout,
        "ss_caption_dropout_every_n_epochs": settings.caption_dropout_every_epochs,
        "ss_caption_tag_dropout_rate": settings.tag_dropout,
        "ss_bucket_info": {"buckets": rows, "mean_img_ar_error": _aspect_error(about)},
        "ss_dataset_dirs": _folders(scan.subsets),
        "ss_reg_dataset_dirs": _folders(scan.regularisation),
        "ss_tag_frequency": frequency,
    }


def _captions(subsets: Sequence[Subset]) -> Mapping[str, list[str]]:
    return {subset.name: [picture.caption for picture in subset.pictures] for subset in subsets}


def _aspect_error(about: About) -> float:
    """How much the pictures' width ÷ height differs from that of their buckets, on average."""
    pictures = [picture for subset in (*about.scan.subsets, *about.scan.regularisation) for picture in subset.pictures]
    errors = []
    for picture in pictures:
        width, height = buckets.choose(picture.width_px, picture.height_px, about.job.dataset)
        errors.append(abs(width / height - picture.width_px / picture.height_px))
    return math.fsum(errors) / max(1, len(errors))


def _folders(subsets: Sequence[Subset]) -> dict[str, object]:
    return {subset.name: {"n_repeats": subset.repeats, "img_count": len(subset.pictures)} for subset in subsets}


def _network(job: Job, injected: Injected) -> Mapping[str, object]:
    network = dict(network_metadata(job.adapter))
    network["ss_network_args"] = {**network["ss_network_args"], **learning_metadata(job)}
    bases = [f"{pathlib.PurePath(name).name}={weight:g}" for name, weight in map(weighted, job.model.base_loras)]
    return {
        **network,
        "ss_scale_weight_norms": job.adapter.max_norm or None,
        "lora_atelier_layers": len(injected.layers),
        "lora_atelier_start_from": pathlib.PurePath(job.adapter.start_from).name,
        "lora_atelier_base_loras": ", ".join(bases),
    }
