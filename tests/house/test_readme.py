"""README.md says what is true: its commands, its table, its list of files, its pictures."""

import re

from tests.house.readme import README, ROOT, written


def test_the_two_commands_stand_alone() -> None:
    blocks = re.findall(r"```\n(.*?)\n```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks[:2] == ["./gui.sh --quickstart", "./setup.sh --test"]


def test_the_table_and_the_files_are_those_of_today() -> None:
    assert README.read_text(encoding="utf-8") == written(), "run: python -m tests.house.readme"


def test_its_pictures_exist() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README.read_text(encoding="utf-8"))
    assert pictures
    assert all((ROOT / picture).is_file() for picture in pictures)
