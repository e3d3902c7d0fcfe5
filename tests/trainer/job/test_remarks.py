"""What a person learns of an adapter before hours are spent on it: who will not read the file."""

import pytest

from trainer.check import plan_lines
from trainer.job.fields import parse
from trainer.job.optimizers import OPTIMIZERS
from trainer.job.remarks import remarks


def test_what_everyone_reads_needs_no_remark() -> None:
    for kind in ("lora", "locon"):
        assert not remarks(parse({"adapter": {"type": kind, "rank_stabilised": True, "rank_dropout": 0.1}}))


def test_who_does_not_read_a_kind_or_a_dora_is_named_in_the_plan_too() -> None:
    for kind, label in (("loha", "LoHa"), ("lokr", "LoKr")):
        found = remarks(parse({"adapter": {"type": kind}}))
        assert len(found) == 1
        assert found[0].startswith(label)
        assert "not by diffusers and sd-scripts" in found[0]
    job = parse({"adapter": {"type": "lora", "decompose": True}})
    assert len(remarks(job)) == 1
    assert "warning: " + remarks(job)[0] in list(plan_lines(job))


@pytest.mark.parametrize(
    ("family", "trained", "count"), [("sd15", True, 1), ("sd2", True, 2), ("sdxl", True, 2), ("sdxl", False, 1)]
)
def test_a_dora_on_an_open_clip_text_encoder_has_a_remark_of_its_own(family: str, trained: bool, count: int) -> None:
    job = parse({"model": {"family": family}, "adapter": {"decompose": True}, "training": {"text_encoder": trained}})
    found = remarks(job)
    assert len(found) == count
    assert any("OpenCLIP" in text for text in found) == (count == 2)


@pytest.mark.parametrize(
    ("optimizer", "bears", "beyond"),
    [("AdamW", 0.01, 0.02), ("Lion", 0.001, 0.003), ("Prodigy", 1, 10), ("SGDNesterov", 0.5, 5)],
)
def test_a_learning_rate_far_beyond_what_the_optimizer_bears_has_a_remark(
    optimizer: str, bears: float, beyond: float
) -> None:
    def found(rate: float, text_rate: float) -> list[str]:
        rates = {"learning_rate": rate, "text_encoder_learning_rate": text_rate}
        return remarks(parse({"training": {"optimizer": optimizer, **rates}}))

    assert found(bears, bears) == []
    assert f"A learning rate of {beyond:g} is more than {OPTIMIZERS[optimizer].label} bears" in found(beyond, beyond)[0]
    if not OPTIMIZERS[optimizer].one_learning_rate:
        assert len(found(bears, beyond)) == 1
