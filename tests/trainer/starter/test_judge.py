"""The judge speaks only when it is right about drawn pictures, and the marks follow its verdicts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.starter.autoencoder import new_autoencoder
from trainer.starter.evaluate import LEAST, Mark, Prompt, held_out_prompts, report, robot_prompts, share_right
from trainer.starter.judge import HEADS, Judge, JudgeUnfitError, Schooling, check_fit, labels, trained_judge, verdicts
from trainer.starter.world import Scene, draw, held_out


def test_an_unschooled_judge_refuses_to_speak(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(JudgeUnfitError, match="98%"):
        trained_judge(new_autoencoder(), tmp_path, Schooling(pictures=64, through_autoencoder=0, steps=2, exam=48))


def test_one_poor_head_is_enough_to_refuse() -> None:
    check_fit({"kind": 0.98, "colour": 1.0, "background": 0.99})
    with pytest.raises(JudgeUnfitError, match="colour 97"):
        check_fit({"kind": 0.99, "colour": 0.979, "background": 1.0})


def test_a_motley_creature_has_no_right_colour() -> None:
    assert labels([Scene("creature", "", "grey")]).tolist()[0][1] < 0
    assert labels([Scene("cat", "red", "grey")]).min() >= 0


def test_verdicts_name_kind_colour_and_background() -> None:
    pictures = torch.from_numpy(
        np.stack([np.asarray(draw(Scene("cat", "red", "grey"), np.random.default_rng(0)))])
    ).permute(0, 3, 1, 2)
    assert list(verdicts(Judge(), pictures)[0]) == list(HEADS)


def test_the_prompts_are_held_out_and_always_the_same() -> None:
    prompts = held_out_prompts(40)
    assert prompts == held_out_prompts(40)
    assert all(held_out(prompt.scene) for prompt in prompts)
    assert len({prompt.seed for prompt in prompts + robot_prompts(10)}) == 50


def test_the_share_right_counts_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "trainer.starter.evaluate.verdicts", lambda judge, pictures: [{"kind": "cat"}, {"kind": "fish"}]
    )
    scene = Scene("cat", "red", "grey")
    asked = [Prompt("a red cat", scene, n) for n in range(2)], [draw(scene, np.random.default_rng(0))] * 2
    assert share_right(Judge(), asked, "kind") == 0.5


def test_the_report_says_what_was_missed(capsys: pytest.CaptureFixture[str]) -> None:
    report([Mark("kind", 0.8, "at least 85%", False)], as_json=False)
    report([Mark("kind", 0.9, "at least 85%", True)], as_json=True)
    said = capsys.readouterr().out
    assert "kind: 80.0% (at least 85%: MISSED)" in said
    assert '"met": true' in said
    assert LEAST == {"background": 0.95, "colour": 0.90, "kind": 0.85}
