"""Whole trainings with every kind of adapter: they learn, go on in the same bits, and their files are proved."""

import pathlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from tests.trainer import tiny
from tests.trainer.engine.test_loop import carried_out, equal, final, told
from trainer.job.remarks import remarks
from trainer.job.settings import Job
from trainer.run import events
from trainer.run.folder import RunFolder

SMALL: Mapping[str, Any] = {"rank": 2, "alpha": 2, "conv_rank": 2, "conv_alpha": 2}


def job_for(tmp_path: pathlib.Path, base: pathlib.Path, adapter: Mapping[str, Any], **training: Any) -> Job:
    changes = {
        "adapter": {**SMALL, **adapter},
        "training": {"epochs": 0, "steps": 3, **training},
        "output": {"save_precision": "fp32"},
    }
    return tiny.job(tmp_path, base, changes)


def read_last(run: RunFolder, seen: list[events.Event]) -> events.Saved:
    saved = [event for event in seen if isinstance(event, events.Saved)]
    assert (run.path / saved[-1].file).is_file()
    return saved[-1]


@pytest.mark.parametrize(
    "adapter",
    [
        {"type": "loha", "dropout": 0.1, "rank_dropout": 0.2, "module_dropout": 0.2},
        {"type": "lokr", "factor": 4, "rank_dropout": 0.2, "module_dropout": 0.2, "decompose": True},
        {"type": "locon", "rank_stabilised": True, "rank_dropout": 0.2, "module_dropout": 0.2},
        {"type": "locon", "decompose": True, "dropout": 0.2},
    ],
    ids=str,
)
def test_stopped_and_resumed_ends_in_the_same_bits(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, adapter: Mapping[str, Any]
) -> None:
    job = job_for(tmp_path, tiny_model, adapter)
    whole, _ = carried_out(job)
    parts, seen = carried_out(job, 1)
    stopped = seen[-1]
    assert isinstance(stopped, events.Stopped)
    assert (parts.path / stopped.file).is_file()
    assert isinstance(told(job, parts)[-1], events.Finished)
    assert equal(final(whole), final(parts))


@pytest.mark.parametrize(
    ("adapter", "training"),
    [
        ({"type": "loha"}, {"gradient_checkpointing": True, "precision": "bf16"}),
        ({"type": "lokr"}, {"gradient_checkpointing": True}),
        ({"type": "lokr", "full_matrix": True}, {"precision": "bf16"}),
        ({"type": "lora", "decompose": True}, {"precision": "bf16"}),
        ({"type": "lora", "targets": "attention", "rank_dropout": 0.3}, {"gradient_checkpointing": True}),
    ],
    ids=str,
)
def test_every_tensor_is_learned_and_its_file_proved(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path, adapter: Mapping[str, Any], training: Mapping[str, Any]
) -> None:
    job = job_for(tmp_path, tiny_model, adapter, **training)
    run, seen = carried_out(job)
    saved = read_last(run, seen)
    assert saved.verified
    assert saved.largest_relative_error <= 1e-6
    begun = [tensor for name, tensor in final(run).items() if name.endswith(("lora_up.weight", "hada_w2_a", "lokr_w2"))]
    begun += [tensor for name, tensor in final(run).items() if name.endswith("lokr_w2_b")]
    assert all(tensor.any() for tensor in begun)
    assert begun


def test_gradient_checkpointing_changes_nothing_of_what_chance_leaves_out(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    """What is calculated a second time has to leave out the same."""
    adapter = {"type": "loha", "rank_dropout": 0.3, "module_dropout": 0.3}
    found = []
    for on in (False, True):
        job = job_for(tmp_path, tiny_model, adapter, gradient_checkpointing=on)
        found.append(final(carried_out(job)[0]))
    assert found[0].keys() == found[1].keys()
    for name, tensor in found[0].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=1e-3, atol=1e-4)


def test_who_does_not_read_the_file_is_said_before_it_is_trained(
    tmp_path: pathlib.Path, tiny_model: pathlib.Path
) -> None:
    job = job_for(tmp_path, tiny_model, {"type": "lokr", "decompose": True}, text_encoder=False)
    _, seen = carried_out(job)
    warned = [event.text for event in seen if isinstance(event, events.Warned)]
    assert warned == remarks(job)
    assert any("LoKr" in text and "not by diffusers and sd-scripts" in text for text in warned)
    assert any("DoRA" in text and "A1111 from 1.9" in text for text in warned)
    assert not remarks(job_for(tmp_path, tiny_model, {"type": "locon", "rank_stabilised": True}))
