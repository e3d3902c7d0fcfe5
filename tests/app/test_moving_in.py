"""What is uploaded or pasted: recognised by its content, and told about calmly."""

import json

import pytest

from app.moving_in import found
from trainer.job.fields import Invalid

PRESET = {"LoRA_type": "Standard", "network_dim": 24, "training_comment": "for <cats>", "unheard<b>": 1, "epoch": 2}
DATASET = b'[[datasets]]\nbatch_size = 3\n[[datasets.subsets]]\nimage_dir = "/pictures/2_cat"\n'


def content(data: object) -> bytes:
    return json.dumps(data).encode()


def test_a_preset_of_ours_is_still_one() -> None:
    ours = {"version": 1, "title": "Mine", "adapter": {"rank": 12}, "trainin": {}}
    result = found([("a.json", content(ours))])
    assert (result.job.adapter.rank, result.about, result.panel) == (12, "Mine", "")
    assert [message.path for message in result.unknown] == ["trainin"]


def test_a_preset_of_kohyas_becomes_a_job_with_a_report() -> None:
    result = found([("cat.json", content(PRESET))])
    assert (result.job.adapter.rank, result.job.training.epochs) == (24, 2)
    assert result.about == "cat: for <cats>"
    assert "Taken over (3)" in result.panel
    assert '<button type="button" data-go="adapter.rank">Rank</button> <b>24</b>' in result.panel
    assert '<details class="unsupported" open>' in result.panel
    assert '<details class="default">' in result.panel


def test_nothing_of_the_file_is_taken_for_html() -> None:
    panel = found([("<i>.json", content({**PRESET, "output_name": "<script>"}))]).panel
    assert "<b>:" not in panel
    assert "unheard<b>" not in panel
    assert "<script>" not in panel
    assert "<i>.json" not in panel


def test_commands_and_config_files_are_recognised() -> None:
    assert found([("The pasted text", b"train_network.py --network_dim 9")]).job.adapter.rank == 9
    assert found([("c.toml", b"network_dim = 7")]).job.adapter.rank == 7


def test_a_dataset_config_can_come_with_it_in_any_order() -> None:
    result = found([("d.toml", DATASET), ("cat.json", content(PRESET))])
    assert (result.job.adapter.rank, result.job.training.batch_size) == (24, 3)
    assert result.job.dataset.folder == "/pictures/2_cat"
    assert result.about.startswith("cat")


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([("a.json", b"")], "is empty"),
        ([("a.json", b"[1]")], "holds no settings"),
        ([("a.json", b"\x00\xff")], "no text file"),
        ([("a.json", b"words")], "not a JSON file"),
        ([("a.json", content(PRESET)), ("b.json", content(PRESET))], "at most its dataset_config"),
    ],
)
def test_what_is_neither_is_refused_in_one_sentence(files: list[tuple[str, bytes]], sentence: str) -> None:
    with pytest.raises(Invalid, match=sentence) as caught:
        found(files)
    assert len(caught.value.messages) == 1
