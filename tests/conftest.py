"""The surroundings of every test: one thread, no network, no message home. Set before any library is imported."""

import os
import re

import pytest

os.environ.update(
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--thorough`: as many kills, faults and odd inputs as a note on a release wants."""
    parser.addoption("--thorough", action="store_true", help="try far more kills, faults and odd inputs; takes minutes")


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether far more is to be tried than continuous integration has time for."""
    return bool(request.config.getoption("--thorough"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of crashes and of odd inputs have counted; pytest itself shows only what failing tests print.

    It is taken from the reports, since those reach this process from others too.
    """
    counted = "".join(
        report.capstdout
        for report in terminalreporter.stats.get("", [])
        if report.when == "teardown" and report.nodeid.startswith(("tests/crash/", "tests/fuzz/"))
    )
    lines = [line for line in counted.splitlines() if line]
    if lines:
        inputs = sum(int(number.replace(",", "")) for number in re.findall(r"([\d,]+) inputs", counted))
        terminalreporter.section("counted")
        terminalreporter.write_line("\n".join([*lines, f"{'odd inputs in all':24}{inputs:8,}"]))
