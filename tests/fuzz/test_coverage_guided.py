"""Fuzzing led by the lines it reaches, each target in a process of its own. Minutes: only among the long tests."""

import importlib.util
import os
from pathlib import Path

import pytest

from tests import tally

from .run import campaign
from .targets import TARGETS, Target

SECONDS = int(os.environ.get("HYPERFS_FUZZ_SECONDS", "8"))
"""A target."""

pytestmark = [
    pytest.mark.skipif(not os.environ.get("HYPERFS_ALL"), reason="long: set HYPERFS_ALL=1"),
    pytest.mark.skipif(
        importlib.util.find_spec("atheris") is None,
        reason="NOT RUN: atheris is not installed (packaging/suites does so where there is a build of it)",
    ),
]


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 3 + 240)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_nothing_is_found_by_following_coverage(target: Target, tmp_path: Path) -> None:
    done = campaign(target.name, SECONDS, tmp_path)
    assert not done.trouble, done.trouble
    tally.add("inputs led by coverage", done.inputs)
