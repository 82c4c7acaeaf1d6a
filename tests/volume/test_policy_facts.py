"""Facts about policies and the attributes that they repeat."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.chunks.extents import Extent
from hyperfs.errors import NotResident
from hyperfs.policy.attributes import CLASS, COPIES, FILED, KEEP, PLACES, PREFIX, PROTECT
from hyperfs.volume import keys, salvage
from hyperfs.volume.entries import encode_xattr
from hyperfs.volume.policy_facts import PolicyFacts, Wrong
from tests.volume.conftest import Store, damage, inode_of, make_folder, rmdir, unlink, write_file

Set = dict[tuple[int, bytes], bytes]
NAMES = sorted([*FILED, KEEP])
inos = st.integers(1, 5)
policies = st.dictionaries(st.tuples(inos, st.sampled_from(NAMES)), st.sampled_from([b"1", b"2", b"3"]))


def fact_key(ino: int, name: bytes) -> bytes:
    return keys.keep_key(ino) if name == KEEP else keys.policy_key(ino, name.removeprefix(PREFIX))


def tree_of(attributes: Set, facts: Set, there: set[int]) -> salvage.Entries:
    entries = {keys.inode_key(ino): (b"", b"") for ino in there}
    entries |= {keys.xattr_key(*where): encode_xattr(value) for where, value in attributes.items()}
    return entries | {fact_key(*where): (value, b"") for where, value in facts.items()}


def wrong(entries: salvage.Entries) -> Wrong:
    found = PolicyFacts(no_content)
    for key, entry in sorted(entries.items()):
        found.entry(key, *entry)
    return found.wrong()


def no_content(extent: Extent) -> bytes:
    raise NotResident([])


@given(policies, policies, st.sets(inos))
def test_what_is_wrong_is_what_differs_but_for_the_rules_of_what_was_deleted(
    attributes: Set, facts: Set, there: set[int]
) -> None:
    there |= {ino for ino, _ in attributes}
    entries = tree_of(attributes, facts, there)
    right: Wrong = {fact_key(*where): value for where, value in attributes.items() if facts.get(where) != value}
    for ino, name in facts.keys() - attributes.keys():
        if name != KEEP or ino in there:
            right[fact_key(ino, name)] = None
    assert wrong(entries) == right
    salvage.agree(entries)
    assert wrong(entries) == {}


def test_a_long_attribute_that_can_not_be_read_counts_as_what_is_known() -> None:
    extent = Extent(0, 2000, bytes(16), 0, 2000, 2, 7, 0)
    entries = {keys.xattr_key(9, PLACES): encode_xattr(extent), keys.policy_key(9, b"places"): (b"a,b", b"")}
    assert wrong(entries) == {}


@pytest.mark.parametrize("places", [b"nas", b",".join(b"%064d" % number for number in range(32))])
async def test_what_is_set_and_taken_away_agrees(store: Store, places: bytes) -> None:
    async with store.opened() as volume:
        for name in (b"a", b"b", b"c"):
            folder = make_folder(volume, name)
            for policy, value in ((PROTECT, b"none"), (CLASS, b"cold"), (PLACES, places), (KEEP, b"30d")):
                volume.xattrs.set(folder, policy, value)
        await write_file(volume, b"c/f", b"text")
        volume.xattrs.set(inode_of(volume, b"c/f"), COPIES, b"3")
        await volume.commit()
        rmdir(volume, b"b")
        unlink(volume, b"c/f")
        for policy in (PROTECT, CLASS, PLACES, KEEP):
            volume.xattrs.set(inode_of(volume, b"c"), policy, None)
        await volume.commit()
        assert damage(volume) == []


async def test_verify_tells_each_that_differs_with_its_path(store: Store) -> None:
    async with store.opened() as volume:
        folder = make_folder(volume, b"locked")
        volume.xattrs.set(folder, PROTECT, b"lock")
        volume.overlay.set_fact(keys.policy_key(folder.ino, b"protect"), b"none")
        volume.overlay.set_fact(keys.policy_key(folder.ino, b"class"), b"archive")
        await volume.commit()
        found = {damage.what: damage for damage in damage(volume)}
        assert len(found) == 2
        assert {damage.paths for damage in found.values()} == {(b"locked",)}
        assert {damage.versions for damage in found.values()} == {(volume.versions.newest.version,)}
        assert any("'protect' is set" in what for what in found)
        assert any("'class' that is not set" in what for what in found)
