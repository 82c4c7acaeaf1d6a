"""The three-way comparison against a drive of dictionaries: what a step changed goes, and all else stays."""

import os
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperfs.volume.three_way import plan

from .undo_model import Drive, changes_below, redone, undone

pytestmark = pytest.mark.timeout(1200)

NAMES = [b"a", b"b", b"c"]
Operation = tuple[str, tuple[object, ...]]
Operations = list[Operation]
often = settings(max_examples=2000 if os.environ.get("HYPERFS_ALL") == "1" else 100, deadline=None)


@st.composite
def operations(draw: st.DrawFn, below: bytes, most: int = 8) -> Operations:
    """What a program does below a folder."""

    def path() -> bytes:
        return b"/".join([below, *draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))])

    found: Operations = []
    for _ in range(draw(st.integers(0, most))):
        what = draw(st.sampled_from(["mkdir", "write", "write", "remove", "rename", "link", "chmod", "set_xattr"]))
        match what:
            case "mkdir" | "remove":
                found.append((what, (path(),)))
            case "write":
                found.append((what, (path(), draw(st.integers(0, 3)))))
            case "chmod":
                found.append((what, (path(), draw(st.sampled_from([0o600, 0o700, 0o755])))))
            case "set_xattr":
                found.append((what, (path(), b"user.x", draw(st.sampled_from([None, b"1", b"2"])))))
            case _:
                found.append((what, (path(), path())))
    return found


def done(drive: Drive, steps: Operations) -> Drive:
    result = drive.copy()
    for what, arguments in steps:
        getattr(result, what)(*arguments)
    result.view()
    return result


def start() -> Drive:
    drive = Drive()
    drive.mkdir(b"in")
    drive.mkdir(b"out")
    return drive


@often
@given(operations(b"in", 15), operations(b"in"))
def test_with_nothing_done_since_all_is_as_it_was_and_back(first: Operations, step: Operations) -> None:
    before = done(start(), first)
    after = done(before, step)
    back, made = undone(before, after, after)
    assert not made.conflicts
    assert back.view() == before.view()
    again, made = redone(before, after, back)
    assert not made.conflicts
    assert again.view() == after.view()


@often
@given(
    operations(b"in", 12), operations(b"out"), operations(b"in"), operations(b"out"), operations(b"out"), st.randoms()
)
def test_what_others_did_elsewhere_stays(
    first: Operations,
    others: Operations,
    step: Operations,
    meanwhile: Operations,
    since: Operations,
    rng: random.Random,
) -> None:
    before = done(done(start(), first), others)
    both = [*step, *meanwhile]
    order = sorted(range(len(both)), key=lambda place: rng.random())
    # Each program's own order is kept.
    mine, theirs = iter(step), iter(meanwhile)
    after = done(before, [next(mine) if place < len(step) else next(theirs) for place in order])
    now = done(after, since)
    back, made = undone(before, after, now, b"in")
    assert not made.conflicts
    assert back.view(b"in") == before.view(b"in")
    assert back.view(b"out") == now.view(b"out")
    again, made = redone(before, after, back, b"in")
    assert not made.conflicts
    assert again.view(b"in") == after.view(b"in")
    assert again.view(b"out") == now.view(b"out")


@often
@given(operations(b"in", 12), st.lists(operations(b"in", 5), min_size=1, max_size=4), operations(b"out"))
def test_step_after_step_back_and_forth(first: Operations, steps: list[Operations], noise: Operations) -> None:
    states = [done(start(), first)]
    for step in steps:
        states.append(done(states[-1], step))
    now = done(states[-1], noise)
    for before, after in reversed(list(pairwise(states))):
        now, made = undone(before, after, now, b"in")
        assert not made.conflicts
        assert now.view(b"in") == before.view(b"in")
    for before, after in pairwise(states):
        now, made = redone(before, after, now, b"in")
        assert not made.conflicts
        assert now.view(b"in") == after.view(b"in")


@often
@given(operations(b"", 12), operations(b"", 6), operations(b"", 6), st.sampled_from([b"", b"a", b"a/b"]))
def test_whatever_was_done_since_the_result_makes_sense(
    first: Operations, step: Operations, since: Operations, path: bytes
) -> None:
    before = done(Drive(), [("mkdir", (b"a",)), *first])
    after = done(before, step)
    now = done(after, since)
    if path and (after.find(path.rpartition(b"/")[0]) or before.find(path.rpartition(b"/")[0])) is None:
        return
    forward = changes_below(before, after, path)
    back, made = undone(before, after, now, path)
    if any(conflict.why == "inside itself" for conflict in made.conflicts):
        return
    view = back.view()  # which checks that it makes sense
    if made.conflicts:
        return
    # What the step did not touch, by inode: it is as now.
    touched = {ino for pair in forward.names.values() for ino in pair} | forward.inodes
    for ino, thing in now.things.items():
        if ino not in touched and ino not in made.attributes and not thing.is_directory:
            stays = not now.names(ino) or back.things.get(ino) == thing
            assert stays or any(view[path][0] == thing for path in view)


@often
@given(operations(b"", 12), operations(b"", 6), operations(b"", 6))
def test_without_a_conflict_nothing_that_was_made_since_is_lost(
    first: Operations, step: Operations, since: Operations
) -> None:
    before = done(Drive(), first)
    after = done(before, step)
    now = done(after, [(what, (a[0], f"since {a[1]}") if what == "write" else a) for what, a in since])
    back, made = undone(before, after, now)
    if made.conflicts:
        return
    kept = {thing.content for thing in back.things.values()}
    assert {thing.content for thing in now.things.values() if isinstance(thing.content, str)} <= kept


def test_a_removed_tree_comes_back_with_times_and_links() -> None:
    before = start()
    before.mkdir(b"in/d")
    before.write(b"in/d/f", 1)
    before.link(b"in/d/f", b"in/g")
    after = done(before, [("remove", (b"in/d",)), ("remove", (b"in/g",))])
    back, made = undone(before, after, after, b"in/d")
    assert b"in/g" not in back.view()
    assert back.view()[b"in/d/f"][0] == before.view()[b"in/d/f"][0]
    back, made = undone(before, after, after, b"in")
    assert back.view() == before.view()
    assert not made.conflicts


def test_a_file_that_was_edited_since_it_came_is_a_conflict() -> None:
    before = start()
    after = done(before, [("write", (b"in/f", 1))])
    now = done(after, [("write", (b"in/f", 2))])
    _, made = undone(before, after, now, b"in")
    assert [(c.why, c.name) for c in made.conflicts] == [("changed", b"f")]


def test_what_others_put_into_a_new_folder_is_a_conflict_and_goes_by_force() -> None:
    before = start()
    after = done(before, [("mkdir", (b"in/d",))])
    now = done(after, [("write", (b"in/d/f", 2))])
    forced, made = undone(before, after, now, b"in")
    assert [(c.why, c.name) for c in made.conflicts] == [("added", b"f")]
    assert b"in/d" not in forced.view()


def test_properties_of_a_file_are_apart() -> None:
    before = start()
    before.write(b"in/f", 1)
    after = done(before, [("write", (b"in/f", 2))])
    now = done(after, [("chmod", (b"in/f", 0o600)), ("set_xattr", (b"in/f", b"user.x", b"1"))])
    back, made = undone(before, after, now, b"in")
    assert not made.conflicts
    thing = back.view()[b"in/f"][0]
    assert (thing.content, thing.mode, thing.xattrs) == (1, 0o100600, ((b"user.x", b"1"),))


def test_a_file_that_was_moved_out_comes_back_with_what_was_done_to_it_since() -> None:
    before = start()
    before.write(b"in/f", 1)
    after = done(before, [("rename", (b"in/f", b"out/g"))])
    now = done(after, [("write", (b"out/g", 2))])
    back, made = undone(before, after, now, b"in")
    assert not made.conflicts
    assert set(back.view()) == {b"", b"in", b"out", b"in/f"}
    assert back.view()[b"in/f"][0].content == 2


def test_a_folder_that_was_made_stays_when_it_is_the_path_itself() -> None:
    before = start()
    after = done(before, [("mkdir", (b"in/d",)), ("write", (b"in/d/f", 1))])
    back, made = undone(before, after, after, b"in/d")
    assert set(back.view(b"in")) == {b"in", b"in/d"}
    again, made = redone(before, after, back, b"in/d")
    assert again.view().keys() == after.view().keys()
    assert again.view()[b"in/d/f"] == after.view()[b"in/d/f"]
    assert not made.conflicts


def test_a_folder_inside_itself_is_refused() -> None:
    before = start()
    before.mkdir(b"in/p")
    before.mkdir(b"in/p/x")
    after = done(before, [("rename", (b"in/p/x", b"in/x"))])
    now = done(after, [("rename", (b"in/p", b"in/x/p"))])
    found = plan(after, before, now, changes_below(before, after, b"in"))
    assert "inside itself" in {conflict.why for conflict in found.conflicts}
