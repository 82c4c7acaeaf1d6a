"""For all tests: the long setting, and the sums of what was tried in the terminal's summary."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tally


def pytest_configure(config: pytest.Config) -> None:
    if tally.FOLDER_VARIABLE not in os.environ:  # the first process of the run; its workers inherit the name
        os.environ[tally.FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="hyperfs-tally-")
        config.stash[_OWNED] = True


@pytest.fixture(scope="session", autouse=True)
def _counts_are_left() -> Iterator[None]:
    yield
    tally.leave()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if lines := tally.collect(Path(os.environ[tally.FOLDER_VARIABLE])):
        terminalreporter.section("what was tried")
        for line in lines:
            terminalreporter.line(line)
    not_run = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and "NOT RUN" in report.longrepr[2]
    ]
    for reason in sorted(set(not_run)):
        terminalreporter.line(reason)


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_OWNED, False):
        shutil.rmtree(os.environ.pop(tally.FOLDER_VARIABLE), ignore_errors=True)


_OWNED = pytest.StashKey[bool]()
