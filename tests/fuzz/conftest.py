"""One count of the odd inputs of each file, printed at the end."""

from collections.abc import Iterator

import pytest

from tests.fuzz.trials import Trials


@pytest.fixture(scope="module")
def trials(thorough: bool) -> Iterator[Trials]:
    """What tries readers, with few inputs or many."""
    found = Trials(thorough)
    yield found
    print("\n".join(found.lines()))
