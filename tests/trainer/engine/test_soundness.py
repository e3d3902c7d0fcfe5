"""A loss that is not finite or explodes: nothing moves, the last good state is kept, and the cause is named."""

import math
import pathlib
import random
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, final, told
from trainer.dataset.plan import epoch_batches
from trainer.engine.cache import picture_key
from trainer.engine.loop import begin, one_step, train
from trainer.engine.soundness import LossWatch
from trainer.job.settings import Job
from trainer.job.trouble import Trouble
from trainer.run import events, folder
from trainer.run.folder import RunFolder

FEW = {"epochs": 0, "steps": 8, "text_encoder": False}
VAE = "vae/diffusion_pytorch_model.safetensors"
UNET = "unet/diffusion_pytorch_model.safetensors"
TEXTS = "text_encoder/model.safetensors"


def changed(base: pathlib.Path, folder_for_it: pathlib.Path, file: str, name: str, factor: float) -> pathlib.Path:
    """A copy of a model with one tensor multiplied."""
    shutil.copytree(base, folder_for_it)
    tensors = load_file(folder_for_it / file)
    (name,) = (known for known in tensors if f".{known}".endswith(f".{name}"))  # transformers 5.6 dropped a prefix
    tensors[name] = tensors[name] * factor
    save_file(tensors, folder_for_it / file, {"format": "pt"})
    return folder_for_it


def failed(job: Job) -> tuple[Trouble, RunFolder, list[events.Event]]:
    """How a run of `job` fails."""
    run = folder.create(pathlib.Path(job.output.folder), job.output.name)
    seen: list[events.Event] = []
    with pytest.raises(Trouble) as caught:
        train(job, run, seen.append)
    return caught.value, run, seen


def losses(seen: list[events.Event]) -> list[float]:
    return [event.loss for event in seen if isinstance(event, events.Step)]


def taken(watch: LossWatch, loss: float) -> bool:
    """Whether a step with this loss, which is taken then, explodes."""
    found = watch.explodes(loss)
    watch.take(loss)
    return found


def test_a_noisy_loss_does_not_explode_and_a_growing_one_does_at_the_fifth_step() -> None:
    watch, chance = LossWatch(), random.Random(0)
    noisy = [chance.lognormvariate(-2.5, 1.2) for _ in range(20_000)]
    assert max(noisy) > 3
    assert not any(taken(watch, loss) for loss in noisy)
    assert [taken(watch, 2.9) for _ in range(20)] == [False] * 20
    assert [taken(watch, 4.0 * 2**n) for n in range(5)] == [False] * 4 + [True]
    assert watch.suspects
    assert not taken(watch, 0.1)
    assert not watch.suspects


def test_one_step_that_the_loss_scaler_leaves_out_is_normal_and_forty_in_a_row_are_not() -> None:
    watch = LossWatch()
    assert not any(watch.overflows(skipped) for skipped in ([True] * 39 + [False]) * 3)
    assert [watch.overflows(True) for _ in range(40)] == [False] * 39 + [True]


def test_a_learning_rate_that_is_too_high_is_named_and_a_lower_one_goes_on(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    high = {**FEW, "steps": 20, "learning_rate": 10.0, "loraplus_ratio": 1000.0, "max_grad_norm": 0}
    job = tiny.job(tmp_path, tiny_model, {"training": high, "output": {"save_state_every_minutes": 1e-9}})
    trouble, run, seen = failed(job)
    assert trouble.key == "rate_too_high"
    assert "learning rate of 10 " in trouble.reason
    kept = torch.load(run.state / "resume.pt", weights_only=True)
    assert all(bool(tensor.isfinite().all()) for tensor in kept["tensors"].values())
    assert kept["step"] < len(losses(seen))
    lower = job.model_copy(update={"training": job.training.model_copy(update={"learning_rate": 1e-4})})
    again = told(lower, run)
    assert isinstance(again[-1], events.Finished)
    assert all(math.isfinite(loss) for loss in losses(again))


def test_a_vae_that_overflows_is_told_before_the_first_step(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    base = changed(tiny_model, tmp_path / "model", VAE, "quant_conv.weight", 1e38)
    trouble, _, seen = failed(tiny.job(tmp_path, base))
    assert trouble.key == "vae_not_finite"
    assert not any(isinstance(event, events.Started) for event in seen)


@pytest.mark.parametrize("broken_pictures", ["refuse", "skip"])
def test_a_vae_that_overflows_for_one_picture_names_it_and_it_alone_is_left_out_where_that_is_wanted(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, broken_pictures: str
) -> None:
    base = changed(tiny_model, tmp_path / "model", VAE, "encoder.conv_in.weight", 0.0)
    tensors = load_file(base / VAE)
    tensors["encoder.conv_in.weight"] += 1e19  # of white alone the squares are not finite then
    save_file(tensors, base / VAE, {"format": "pt"})
    grey = tiny.pictures(tmp_path / "data", 4) / "2_thing"
    for number, value in enumerate([128, 127, 255, 128]):
        Image.new("RGB", (64, 64), (value,) * 3).save(grey / f"{number}.png")
    job = tiny.job(tmp_path, base, {"training": FEW, "dataset": {"broken_pictures": broken_pictures}})
    if broken_pictures == "refuse":
        trouble, _, seen = failed(job)
        assert trouble.key == "picture_overflows"
        assert trouble.remedy == ("show_dataset", str(grey / "2.png"))
        assert (f"{grey / '2.png'}" in trouble.reason, losses(seen)) == (True, [])
        assert "another VAE" in trouble.advice
        return
    _, seen = carried_out(job)
    (said,) = [event.text for event in seen if isinstance(event, events.Warned)]
    assert f"{grey / '2.png'}" in said
    assert [event.pictures for event in seen if isinstance(event, events.Started)] == [3]
    assert len(losses(seen)) == FEW["steps"]


@pytest.mark.parametrize(
    ("file", "name", "key", "said"),
    [
        (TEXTS, "final_layer_norm.weight", "caption_not_finite", "thing, flat"),
        (UNET, "conv_out.weight", "base_not_finite", ".png"),
    ],
)
def test_a_base_model_that_overflows_is_named_with_what_it_overflows_for(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, file: str, name: str, key: str, said: str
) -> None:
    base = changed(tiny_model, tmp_path / "model", file, name, 3e38)
    trouble, _, seen = failed(tiny.job(tmp_path, base, {"training": FEW}))
    assert trouble.key == key
    assert said in trouble.reason
    assert losses(seen) == []


def poisoned_latent(session: Any, together: Any) -> str:
    item = together[0][1]
    session.supplies.pictures[picture_key(item)]["latent"].fill_(math.nan)
    return str(item.picture.path)


def poisoned_weights(session: Any, together: Any) -> str:
    next(iter(session.learner.injected.tensors().values())).data.fill_(math.inf)
    return "learning rate of 0.01"


@pytest.mark.parametrize(
    ("poison", "key"), [(poisoned_latent, "picture_not_finite"), (poisoned_weights, "rate_too_high")]
)
def test_what_has_become_infinite_is_found_and_nothing_moves(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, poison: Callable[[Any, Any], str], key: str
) -> None:
    job = tiny.job(tmp_path, tiny_model, {"training": FEW})
    session, _ = begin(job, folder.create(tmp_path / "out", "tiny"), lambda event: None)
    together = [epoch_batches(session.found, job, 1)[0]]
    said = poison(session, together)
    before = {name: tensor.detach().clone() for name, tensor in session.learner.injected.tensors().items()}
    with pytest.raises(Trouble) as caught:
        one_step(session, 0, together)
    assert caught.value.key == key
    assert said in caught.value.reason
    assert all(torch.equal(tensor, before[name]) for name, tensor in session.learner.injected.tensors().items())
    assert not session.learner.optimizer.state


def test_a_cached_latent_that_is_not_finite_is_made_anew(tmp_path: pathlib.Path, tiny_model: pathlib.Path) -> None:
    job = tiny.job(tmp_path, tiny_model, {"training": {**FEW, "steps": 2}})
    whole, _ = carried_out(job)
    for path in (tmp_path / "out" / ".cache").iterdir():
        save_file({name: tensor * math.nan for name, tensor in load_file(path).items()}, path)
    again, _ = carried_out(job)
    assert all(torch.equal(tensor, final(whole)[name]) for name, tensor in final(again).items())
