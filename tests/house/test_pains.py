"""Every pain in pains.txt is raised by tests that exist."""

import re

from tests.house.tree import ROOT

TABLE = ROOT / "tests" / "house" / "pains.txt"
LEAST = {"kohya": 25, "trainers": 15}


def pains() -> dict[tuple[str, int], list[str]]:
    """The tests of each pain by survey and number in it."""
    found: dict[tuple[str, int], list[str]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        head = re.match(r"(\w+) (\d+): \w", line)
        if head:
            tests = found[head[1], int(head[2])] = list[str]()
        elif line.startswith("  "):
            tests.append(line.strip())
    return found


def exists(test: str) -> bool:
    """Whether there is such a test; its name is as pytest writes it, from tests/ on and without parameters."""
    file, _, name = test.partition("::")
    path = ROOT / "tests" / file
    return path.is_file() and re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE) is not None


def test_each_pain_is_raised_by_tests_that_exist() -> None:
    assert not {pain: missing for pain, tests in pains().items() if (missing := [t for t in tests if not exists(t)])}
    assert not [pain for pain, tests in pains().items() if not tests]


def test_none_of_the_greatest_is_left_out() -> None:
    wanted = {(survey, number) for survey, last in LEAST.items() for number in range(1, last + 1)}
    assert wanted <= pains().keys()
