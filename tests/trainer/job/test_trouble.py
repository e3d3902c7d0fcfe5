"""What a program that shows an error can offer."""

from typing import get_args

import pytest

from trainer.job import fields
from trainer.job.trouble import REMEDIES, Action, Trouble
from trainer.job.words import table


@pytest.mark.parametrize("key", sorted(REMEDIES))
def test_every_action_belongs_to_a_sentence_and_leads_somewhere(key: str) -> None:
    assert {key, f"{key}_advice"} <= set(table())
    assert REMEDIES[key].action in get_args(Action)
    assert REMEDIES[key].target in {"", "network", *fields.specs()}


def test_the_file_at_fault_may_be_said_where_it_is_found() -> None:
    found = Trouble("picture_broken", reason="It is cut off.", target="/pictures/1.png")
    assert found.remedy == ("show_dataset", "/pictures/1.png")
    rate = Trouble("rate_too_high", what="The loss became nan", step=3, rate=1, better=0.1)
    assert rate.remedy == ("resume_slower", "training.learning_rate")


def test_where_nothing_but_resuming_helps_nothing_else_is_offered() -> None:
    assert Trouble("file_not_verified", file="x", reason="y").remedy == ("", "")
