"""For all tests: the long setting, and the sums of what was tried in the terminal's summary."""

import os
import resource
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import tally

# Nothing is timed: on a busy machine each step of an example may take long.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


MOST_FILES = 16_384
"""Open in a process of the tests, where the system lets it: logs of hundreds of drives and peers."""


def pytest_configure(config: pytest.Config) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if tally.FOLDER_VARIABLE not in os.environ:  # the first process of the run; its workers inherit the name
        os.environ[tally.FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="hyperfs-tally-")
        config.stash[_OWNED] = True


@pytest.fixture(scope="session", autouse=True)
def _counts_are_left() -> Iterator[None]:
    yield
    tally.leave()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was tried and how much, then what was not run."""
    if lines := tally.collect(Path(os.environ[tally.FOLDER_VARIABLE])):
        terminalreporter.section("what was tried")
        for line in lines:
            terminalreporter.line(line)
    for reason in _not_run(terminalreporter):
        terminalreporter.line(reason)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A run of everything that left something out has not passed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("HYPERFS_ALL") == "1" and reporter is not None and _not_run(reporter) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _not_run(reporter: pytest.TerminalReporter) -> list[str]:
    reasons = [r.longrepr[2] for r in reporter.stats.get("skipped", []) if isinstance(r.longrepr, tuple)]
    return sorted({reason.removeprefix("Skipped: ") for reason in reasons if "NOT RUN" in reason})


def pytest_unconfigure(config: pytest.Config) -> None:
    if config.stash.get(_OWNED, False):
        shutil.rmtree(os.environ.pop(tally.FOLDER_VARIABLE), ignore_errors=True)


_OWNED = pytest.StashKey[bool]()
