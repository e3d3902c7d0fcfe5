"""One count of all odd inputs, printed at the end."""

import pytest

from tests.fuzz.trials import Trials

_KEY = pytest.StashKey[Trials]()


@pytest.fixture(scope="session")
def trials(thorough: bool, pytestconfig: pytest.Config) -> Trials:
    """What tries readers, with few inputs or many."""
    return pytestconfig.stash.setdefault(_KEY, Trials(thorough))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many inputs each reader was given."""
    found = terminalreporter.config.stash.get(_KEY, None)
    if found:
        terminalreporter.write_line("\n".join(found.lines()))
