"""Whatever bytes a decoder gets: a value, which it then gives again, or an error of ours; never more memory or time."""

import os
import random
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tally

from .found import inputs
from .mutations import MOST_STEPS, Step, changed, steps_of
from .targets import TARGETS, Target
from .trial import give_measured, watched

LONG = os.environ.get("HYPERFS_ALL") == "1"
EXAMPLES = int(os.environ.get("HYPERFS_FUZZ_EXAMPLES", "500" if LONG else "25"))
"""Of Hypothesis, a target and kind of input."""
MUTATIONS = int(os.environ.get("HYPERFS_FUZZ_MUTATIONS", "4000" if LONG else "300"))
"""Of the quicker source of changed encodings, a target."""
SEED = int(os.environ.get("HYPERFS_FUZZ_SEED", "1"))
COUNTED = "inputs given to decoders"

every_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
several = settings(
    max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=True
)
steps = st.lists(
    st.builds(Step, st.integers(0, 255), st.integers(0, 65_535), st.integers(0, (1 << 64) - 1)),
    min_size=1,
    max_size=MOST_STEPS,
)


@pytest.fixture(autouse=True)
def _memory_and_time_are_watched() -> Iterator[None]:
    tracemalloc.start()
    with watched():
        yield
    tracemalloc.stop()


@every_target
def test_every_example_is_a_value_or_an_error_of_ours(target: Target) -> None:
    given_back = [give_measured(target, data) for data in target.seeds()]
    assert any(given_back), "none of the examples is valid"


@every_target
def test_what_was_found_once_stays_mended(target: Target) -> None:
    for data in inputs(target.name):
        give_measured(target, data)
        tally.add(COUNTED, 1)


@every_target
def test_any_bytes(target: Target) -> None:
    @several
    @given(st.binary(max_size=400))
    def given_any(data: bytes) -> None:
        give_measured(target, data)
        tally.add(COUNTED, 1)

    given_any()


@every_target
def test_changed_encodings(target: Target) -> None:
    examples = target.seeds()

    @several
    @given(st.sampled_from(examples), steps)
    def given_changed(data: bytes, chosen: list[Step]) -> None:
        give_measured(target, changed(data, chosen, examples))
        tally.add(COUNTED, 1)

    given_changed()


@every_target
def test_many_changed_encodings(target: Target) -> None:
    examples = target.seeds()
    source = random.Random(f"{SEED} {target.name}")
    for number in range(MUTATIONS):
        data = changed(source.choice(examples), steps_of(source), examples)
        try:
            give_measured(target, data)
        except BaseException as error:
            error.add_note(f"HYPERFS_FUZZ_SEED={SEED}, input {number}: {data.hex()}")
            raise
    tally.add(COUNTED, MUTATIONS, seed=SEED)
