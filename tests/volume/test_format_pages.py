"""Golden bytes of inodes, names, commits and the journal; the pages that show them; and bytes that are none."""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.chunks.extents import Extent, Place
from hyperfs.crypto.journal_cipher import JournalCipher
from hyperfs.crypto.keys import EpochKeys
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.replication import address
from hyperfs.store.files import Disk
from hyperfs.store.journal import Journal
from hyperfs.store.journal_records import Kind, read_records
from hyperfs.syncing.settings import Known
from hyperfs.trie.node import Ref
from hyperfs.volume import brake_record, commit_record, entries, journal_items, keys, undo_record
from hyperfs.volume.brake_record import BrakeRecord
from hyperfs.volume.commit_record import Commit, DeadChunk, DeadNode, LogHead, RealmRoot, Replaced
from hyperfs.volume.inode import Inode
from hyperfs.volume.pins import Pin, decode_pin, pin_fact
from hyperfs.volume.undo_record import UndoRecord
from hyperfs.volume.versions import decode_snapshot, snapshot_fact

from .conftest import Store, inode_of, kill, write_file

ROOT: Final = Path(__file__).parents[2]
Case = dict[str, Any]


def vectors(name: str) -> Case:
    found: Case = json.loads((ROOT / "tests/vectors" / name).read_text())
    return found


def shown(page: str) -> dict[str, bytes]:
    """The ```hex blocks of a format page, by name; `;` begins a comment."""
    text = (ROOT / "docs/formats" / page).read_text()
    found = re.findall(r"^```hex ([\w ]+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {name: bytes.fromhex(re.sub(r";.*", "", body)) for name, body in found}


INODE: Final = vectors("inode.json")
COMMIT: Final = vectors("commit.json")
JOURNAL: Final = vectors("journal.json")


def what(case: Case) -> str:
    return str(case.get("what") or case["kind"])


def argument(value: int | str) -> int | bytes:
    return bytes.fromhex(value) if isinstance(value, str) else value


# Keys, inodes, values


@pytest.mark.parametrize("case", INODE["keys"], ids=what)
def test_keys(case: Case) -> None:
    make = getattr(keys, f"{case['kind']}_key")
    assert make(*map(argument, case["of"])).hex() == case["hex"]


@pytest.mark.parametrize("case", INODE["inodes"], ids=what)
def test_inodes(case: Case) -> None:
    inode = Inode.decode(case["ino"], bytes.fromhex(case["hex"]))
    for name in set(case) - {"what", "hex", "inline"}:
        assert getattr(inode, name) == case[name], name
    assert inode.inline == (None if case["inline"] is None else bytes.fromhex(case["inline"]))
    assert inode.encode().hex() == case["hex"]


def test_values_of_names_and_attributes() -> None:
    values = INODE["values"]
    dentry = values["dentry"]
    assert entries.encode_dentry((dentry["ino"], dentry["kind"])) == (bytes.fromhex(dentry["hex"]), b"")
    assert entries.decode_dentry(bytes.fromhex(dentry["hex"])) == (dentry["ino"], dentry["kind"])
    short, long = values["xattr"], values["long xattr"]
    assert entries.encode_xattr(bytes.fromhex(short["bytes"])) == (bytes.fromhex(short["hex"]), b"")
    assert entries.decode_xattr(bytes.fromhex(short["hex"]), b"") == bytes.fromhex(short["bytes"])
    extent, entry = Extent(*map(argument, long["extent"])), (bytes.fromhex(long["hex"]), bytes.fromhex(long["hint"]))
    assert entries.encode_xattr(extent) == entry
    assert entries.decode_xattr(*entry) == extent


def test_values_of_facts() -> None:
    values = INODE["values"]
    for place in (values["place"], values["place of a delta"]):
        expected = Place(*place["place"], tuple(Place(*numbers) for numbers in place.get("bases", ())))
        assert entries.encode_place(expected).hex() == place["hex"]
        assert entries.decode_place(bytes.fromhex(place["hex"])) == expected
    for gone in (values["gone"], values["gone by a folder"]):
        assert entries.encode_gone(entries.Gone(*gone["gone"])).hex() == gone["hex"]
        assert entries.decode_gone(bytes.fromhex(gone["hex"])) == tuple(gone["gone"])
    snapshot = values["snapshot"]
    fact = snapshot_fact(1, b"before", snapshot["version"], snapshot["made_ns"])
    assert fact == (keys.snapshot_key(1, b"before"), bytes.fromhex(snapshot["hex"]))
    assert decode_snapshot(*fact) == (1, b"before", snapshot["version"], snapshot["made_ns"])
    undo = values["undo"]
    fact = bytes.fromhex(undo["key"]), bytes.fromhex(undo["hex"])
    assert undo_record.encode(UndoRecord(*map(argument, undo["undo"]))) == fact  # type: ignore[arg-type]
    assert undo_record.decode(*fact) == tuple(map(argument, undo["undo"]))


def test_the_record_of_the_brake() -> None:
    case = INODE["values"]["brake"]
    record = BrakeRecord(*map(argument, case["brake"]))  # type: ignore[arg-type]
    assert (brake_record.KEY.hex(), brake_record.encode(record).hex()) == (case["key"], case["hex"])
    assert brake_record.decode(bytes.fromhex(case["hex"])) == record
    for wrong in (b"", bytes(56), bytes(57), b"\3" + bytes.fromhex(case["hex"])[1:]):
        with pytest.raises(Corrupt):
            brake_record.decode(wrong)


def test_the_value_of_a_pin() -> None:
    case = INODE["values"]["pin"]
    where = (case["log"], case["block"], case["directory"], case["deleted_ns"], bytes.fromhex(case["name"]))
    pin = Pin(9, (1 << 48) + 3, *where)
    assert pin_fact(pin) == (keys.pin_key(9, (1 << 48) + 3), bytes.fromhex(case["hex"]))
    assert decode_pin(*pin_fact(pin)) == pin
    with pytest.raises(Corrupt):
        decode_pin(keys.pin_key(9, 1), bytes(28))


@pytest.mark.parametrize("cut", [0, 5, 15, 17])
def test_a_place_or_mark_of_another_length_is_corrupt(cut: int) -> None:
    for decode in (entries.decode_place, entries.decode_gone):
        with pytest.raises(Corrupt):
            decode(bytes(cut))


def test_the_pages_on_inodes_and_places() -> None:
    page, by_name = shown("inode.md"), {case["what"]: case["hex"] for case in INODE["inodes"]}
    by_key = {case["kind"]: case["hex"] for case in INODE["keys"]}
    assert page.pop("tiny file").hex() == by_name["a tiny file"]
    for name in ("inode", "dentry", "extent", "xattr", "snapshot", "setting", "keep", "policy", "mirror"):
        assert page.pop(f"{name} key").hex() == by_key[name]
    assert page.pop("cold store key") == keys.setting_key(b"cold:nas")
    assert page.pop("peer key") == keys.setting_key(b"peer:cloud")
    where = address.parse(f"hyperfs://{'ab' * 32}@cloud.example:4780")
    assert page.pop("peer") == Known("cloud", where, 1_795_000_000_000_000_000).encode()
    assert page.pop("undo key").hex() == INODE["values"]["undo"]["key"]
    assert page.pop("brake key").hex() == INODE["values"]["brake"]["key"]
    for name in ("dentry", "xattr", "long xattr", "snapshot", "keep", "policy", "mirror", "undo", "brake"):
        assert page.pop(name).hex() == INODE["values"][name]["hex"]
    assert not page
    page = shown("place-and-gone.md")
    assert page.pop("place key").hex() == by_key["place"]
    assert page.pop("gone versions key").hex() == by_key["gone_versions"]
    assert page.pop("gone file key").hex() == by_key["gone_file"]
    for name in ("region", "pin"):
        assert page.pop(f"{name} key").hex() == by_key[name]
    for name in ("place", "gone", "gone by a folder", "pin"):
        assert page.pop(name).hex() == INODE["values"][name]["hex"]
    assert not page


async def test_a_chunk_that_moved_is_found_through_the_newest_root(store: Store) -> None:
    async with store.opened() as volume:
        data = bytes(range(256)) * 1024
        inode = await write_file(volume, b"moved", data)
        await write_file(volume, b"other", b"other" * 20_000)
        await volume.commit()
        found = volume.overlay.extents(inode, 0, len(data))
        elsewhere = next(e.place for e in volume.overlay.extents(inode_of(volume, b"other"), 0, 100_000))
        # What an old version says that was written before the move.
        old = [e._replace(log=elsewhere.log, block=elsewhere.block, slot=elsewhere.slot) for e in found]
        with pytest.raises(Corrupt):
            volume.content.read(old, 0, len(data))
        for extent in found:
            volume.overlay.set_fact(keys.place_key(extent.chunk), entries.encode_place(extent.place))
        assert volume.content.read(old, 0, len(data)) == data
        await volume.commit()
    again = store.open()
    assert again.content.read(old, 0, len(data)) == data
    kill(again)


# Commits


def head(fields: list[Any]) -> LogHead:
    return LogHead(*map(argument, fields))


def replaced_of(case: Case) -> Replaced:
    return Replaced(
        [DeadNode(*node) for node in case["nodes"]],
        [DeadChunk(*map(argument, chunk)) for chunk in case["chunks"]],  # type: ignore[arg-type]
        [bytes.fromhex(chunk) for chunk in case["resurrected"]],
    )


def commit_of(case: Case) -> Commit:
    fields = dict(case)
    realms = [(realm, epoch, root) for realm, epoch, root in case["realms"]]
    fields["content"] = head(case["content"])
    fields["parents"] = tuple(map(head, case["parents"]))
    fields["realms"] = tuple(
        RealmRoot(realm, epoch, root and Ref(*map(argument, root)))  # type: ignore[arg-type]
        for realm, epoch, root in realms
    )
    fields["replaced"] = replaced_of(case["replaced"])
    return Commit(**fields)


@pytest.mark.parametrize("case", COMMIT["commits"], ids=what)
def test_commits(case: Case) -> None:
    commit = commit_of(case["commit"])
    assert commit_record.encode(commit).hex() == case["hex"]
    assert commit_record.decode(bytes.fromhex(case["hex"])) == commit


def test_overflow_of_a_commit() -> None:
    case = COMMIT["overflow"]
    assert commit_record.encode_overflow(replaced_of(case["replaced"])).hex() == case["hex"]
    assert commit_record.decode_overflow(bytes.fromhex(case["hex"])) == replaced_of(case["replaced"])


def test_the_page_on_commits() -> None:
    by_name = {case["what"]: case["hex"] for case in COMMIT["commits"]}
    page = shown("commit.md")
    assert {name: data.hex() for name, data in page.items()} == {
        "commit": by_name["small"],
        "overflow": COMMIT["overflow"]["hex"],
    }


@pytest.mark.parametrize("case", COMMIT["commits"], ids=what)
def test_a_commit_cut_short_or_with_more_behind_it_is_corrupt(case: Case) -> None:
    data = bytes.fromhex(case["hex"])
    for broken in [*(data[:cut] for cut in range(len(data))), data + b"\0"]:
        with pytest.raises(Corrupt):
            commit_record.decode(broken)


# The journal


def item_of(name: str, *fields: Any) -> journal_items.Item:
    kind = getattr(journal_items, name)
    if kind is journal_items.ExtentItem and fields[2] is not None:
        return journal_items.ExtentItem(fields[0], fields[1], Extent(*map(argument, fields[2])))  # type: ignore[arg-type]
    if kind is journal_items.DentryItem and fields[2] is not None:
        return journal_items.DentryItem(fields[0], bytes.fromhex(fields[1]), (fields[2][0], fields[2][1]))
    if kind is journal_items.BlocksItem:
        hashes = tuple(map(bytes.fromhex, fields[3]))
        return journal_items.BlocksItem(fields[0], fields[1], tuple(fields[2]), hashes)
    made: journal_items.Item = kind(*map(argument, fields))
    return made


@pytest.mark.parametrize("case", JOURNAL["items"], ids=what)
def test_journal_items(case: Case) -> None:
    item = item_of(*case["item"])
    assert journal_items.encode(item).hex() == case["hex"]
    assert list(journal_items.decode(bytes.fromhex(case["hex"]))) == [item]


def test_every_kind_of_item_is_golden() -> None:
    kinds = {value for name, value in vars(journal_items).items() if name.isupper() and isinstance(value, int)}
    assert {bytes.fromhex(case["hex"])[0] for case in JOURNAL["items"]} == kinds


def test_a_segment(tmp_path: Path) -> None:
    golden = JOURNAL["segment"]
    epoch = EpochKeys(1, bytes.fromhex(golden["epoch_key"]), bytes.fromhex(golden["drive_key"]))
    assert epoch.journal_key(1).hex() == golden["key"]
    cipher, nonces = JournalCipher(epoch.journal_key), iter(map(bytes.fromhex, golden["nonces"]))
    disk = Disk(tmp_path)
    Journal.create(disk)
    journal = Journal(disk, cipher, lambda: next(nonces))
    journal.begin(journal.open(), 0)
    journal.append(bytes.fromhex(golden["payload"]))
    journal.mark_durable(journal.sync())
    journal.close()
    data = bytes.fromhex(golden["hex"])
    assert disk.read_all("journal/0000").rstrip(b"\0") == data.rstrip(b"\0")
    change, note = read_records(data, cipher)
    assert (change.kind, change.sequence, change.durable) == (Kind.CHANGE, 1, 0)
    assert (note.kind, note.sequence, note.durable, note.previous_tag) == (Kind.NOTE, 2, 1, change.tag)
    items = [item_of(*case["item"]) for case in JOURNAL["items"] if case["what"] in ("next ino", "inode", "dentry")]
    assert sorted(map(str, journal_items.decode(change.payload))) == sorted(map(str, items))


def test_the_page_on_the_journal() -> None:
    page = shown("journal.md")
    assert page.pop("segment").hex() == JOURNAL["segment"]["hex"]
    assert page.pop("payload").hex() == JOURNAL["segment"]["payload"]
    text = (ROOT / "docs/formats/journal.md").read_text()
    assert JOURNAL["segment"]["key"] in text
    for case in JOURNAL["items"]:
        assert f"| {bytes.fromhex(case['hex'])[0]} | {case['what']} |" in text, case["what"]


# Bytes that are none: only our errors, and nothing larger than what came in


def near(*golden: str) -> st.SearchStrategy[bytes]:
    """Any bytes, and golden ones with a few of their bytes changed, cut or doubled."""

    @st.composite
    def broken(draw: st.DrawFn) -> bytes:
        data = bytearray.fromhex(draw(st.sampled_from(golden)))
        for _ in range(draw(st.integers(0, 4))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
        start = draw(st.integers(0, len(data)))
        return bytes(data[:start] + draw(st.binary(max_size=64)) + data[start:])[: draw(st.integers(0, 600))]

    return st.binary(max_size=400) | broken()


@given(near(*(case["hex"] for case in INODE["inodes"])))
def test_any_bytes_are_an_inode_or_corrupt(data: bytes) -> None:
    try:
        inode = Inode.decode(7, data)
    except Corrupt:
        return
    assert inode.encode() == data


@given(near(*(case["hex"] for case in COMMIT["commits"])))
def test_any_bytes_are_a_commit_or_refused(data: bytes) -> None:
    try:
        commit = commit_record.decode(data)
    except (Corrupt, FormatTooNew):
        return
    assert commit_record.encode(commit) == data


@given(near(COMMIT["overflow"]["hex"]))
def test_any_bytes_are_an_overflow_or_corrupt(data: bytes) -> None:
    try:
        part = commit_record.decode_overflow(data)
    except Corrupt:
        return
    assert commit_record.encode_overflow(part) == data


@given(near(*(case["hex"] for case in JOURNAL["items"]), JOURNAL["segment"]["payload"]))
def test_any_bytes_are_journal_items_or_corrupt(data: bytes) -> None:
    try:
        items = list(journal_items.decode(data))
    except Corrupt:
        return
    assert b"".join(map(journal_items.encode, items)) == data


@given(near(*(value["hex"] for value in INODE["values"].values())), st.sampled_from(["", "hint"]))
def test_any_bytes_are_a_value_or_corrupt(data: bytes, hint: str) -> None:
    where = bytes.fromhex(INODE["values"]["long xattr"]["hint"]) if hint else b""
    for decode in (
        entries.decode_dentry,
        entries.decode_place,
        entries.decode_gone,
        lambda value: entries.decode_xattr(value, where),
        lambda value: undo_record.decode(bytes.fromhex(INODE["values"]["undo"]["key"]), value),
    ):
        try:
            decode(data)
        except Corrupt:
            continue
