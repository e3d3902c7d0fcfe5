"""The metadata of a LoRA file: the `ss_*` keys that Kohya's scripts write and other programs show, and modelspec."""

import dataclasses
import datetime
import pathlib
from collections.abc import Mapping, Sequence

from trainer.adapters.base import Injected
from trainer.dataset.captions import tag_frequency
from trainer.dataset.plan import Plan
from trainer.dataset.scan import Scan, Subset
from trainer.engine.sampling import Moment
from trainer.engine.schedules import warmup_steps
from trainer.formats.kohya import text
from trainer.job.facts import ADAPTERS, FAMILIES
from trainer.job.settings import Job, Training


@dataclasses.dataclass(frozen=True)
class About:
    """What the metadata is made from, besides the moment of saving."""

    job: Job
    scan: Scan
    plan: Plan
    prediction: str
    started: float


def metadata(about: About, injected: Injected, moment: Moment) -> dict[str, str]:
    """Every key with its value as text; facts of the job, of the data set and of this moment."""
    values = {**_training(about, moment), **_dataset(about), **_network(about.job, injected), **_modelspec(about)}
    return {name: text(value) for name, value in values.items()}


def _training(about: About, moment: Moment) -> Mapping[str, object]:
    job, training = about.job, about.job.training
    family = FAMILIES[job.model.family]
    return {
        "ss_output_name": job.output.name,
        "ss_training_started_at": about.started,
        "ss_training_finished_at": datetime.datetime.now().timestamp(),
        "ss_sd_model_name": pathlib.PurePath(job.model.base).name,
        "ss_base_model_version": family.base_model_version + ("_v" if about.prediction == "v" else ""),
        "ss_v2": "zero_padding" in family.capabilities,
        "ss_clip_skip": job.model.clip_skip if "clip_skip" in family.capabilities else None,
        "ss_learning_rate": training.learning_rate,
        "ss_unet_lr": training.learning_rate,
        "ss_text_encoder_lr": training.text_encoder_learning_rate if training.text_encoder else None,
        "ss_optimizer": training.optimizer,
        "ss_lr_scheduler": training.schedule,
        "ss_lr_warmup_steps": warmup_steps(training, about.plan.steps),
        "ss_epoch": moment.epoch,
        "ss_steps": moment.step,
        "ss_num_epochs": about.plan.epochs,
        "ss_max_train_steps": about.plan.steps,
        "ss_gradient_accumulation_steps": training.gradient_accumulation,
        "ss_gradient_checkpointing": training.gradient_checkpointing,
        "ss_mixed_precision": training.precision,
        "ss_max_grad_norm": training.max_grad_norm,
        "ss_seed": training.seed,
        "ss_prior_loss_weight": training.prior_loss_weight,
        **_objective(training),
    }


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
    settings, plan = about.job.dataset, about.plan
    buckets = {
        str(n): {"resolution": [row.width_px, row.height_px], "count": row.repeated} for n, row in enumerate(plan.rows)
    }
    scan = about.scan
    separator = settings.caption_separator
    frequency = tag_frequency(_captions(scan.regularisation), "", separator)
    frequency |= tag_frequency(_captions(scan.subsets), settings.trigger, separator)
    return {
        "ss_num_train_images": plan.repeated - plan.regularisation,
        "ss_num_reg_images": plan.regularisation,
        "ss_num_batches_per_epoch": plan.batches_per_epoch,
        "ss_batch_size_per_device": about.job.training.batch_size,
        "ss_total_batch_size": about.job.training.batch_size,
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
        "ss_bucket_info": {"buckets": buckets},
        "ss_dataset_dirs": _folders(scan.subsets),
        "ss_reg_dataset_dirs": _folders(scan.regularisation),
        "ss_tag_frequency": frequency,
    }


def _captions(subsets: Sequence[Subset]) -> Mapping[str, list[str]]:
    return {subset.name: [picture.caption for picture in subset.pictures] for subset in subsets}


def _folders(subsets: Sequence[Subset]) -> dict[str, object]:
    return {subset.name: {"n_repeats": subset.repeats, "img_count": len(subset.pictures)} for subset in subsets}


def _network(job: Job, injected: Injected) -> Mapping[str, object]:
    convolutions = "conv_rank" in ADAPTERS[job.adapter.type].capabilities
    args = {"conv_dim": str(job.adapter.conv_rank), "conv_alpha": str(job.adapter.conv_alpha)} if convolutions else {}
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": job.adapter.rank,
        "ss_network_alpha": job.adapter.alpha,
        "ss_network_dropout": job.adapter.dropout or None,
        "ss_network_args": args,
        "lora_atelier_layers": len(injected.layers),
    }


def _modelspec(about: About) -> Mapping[str, object]:
    job = about.job
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": f"{FAMILIES[job.model.family].architectures[about.prediction]}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": job.output.name,
        "modelspec.resolution": f"{job.dataset.resolution}x{job.dataset.resolution}",
        "modelspec.date": datetime.datetime.now().isoformat(timespec="seconds"),
        "modelspec.prediction_type": about.prediction,
        "modelspec.trigger_phrase": job.dataset.trigger,
    }
