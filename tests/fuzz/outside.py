"""As `readers`, for what comes from people, from the machine and from other processes of ours."""

from datetime import UTC
from typing import Any, Final
from zoneinfo import ZoneInfo

from hyperfs import errors
from hyperfs.crypto import recovery, shares
from hyperfs.crypto.keys import RootSeed
from hyperfs.daemon import mounts, wire
from hyperfs.policy import when
from hyperfs.store import rocksdb_records
from hyperfs.store.memory import MemoryIndex
from hyperfs.volume.catalog import BIRTH_PREFIX, Catalog, decode_birth

from .readers import FOLDER
from .shapes import Fields


def index(data: bytes) -> None:
    fields = Fields(data)
    index = MemoryIndex()
    log = bytes(4)
    names = (b"m", b"c" + bytes(16), b"v" + bytes(8), b"t" + bytes(8), b"s" + bytes(7) + b"\1", b"i" + log, b"j" + log)
    for name in names:
        value = fields.piece(fields.number())
        tail = bytes(8) if name[:1] in b"ij" else b""
        index.write([(name + tail, value)])
    index.write([(b"v" + fields.rest()[:12], bytes(36))])
    catalog = Catalog(index)
    for question in (
        catalog.mark,
        lambda: catalog.chunk(bytes(16)),
        lambda: catalog.version(0),
        lambda: list(catalog.versions()),
        lambda: list(catalog.chunks()),
        lambda: catalog.at_time((1 << 64) - 1),
        lambda: catalog.at_second(1),
        lambda: catalog.born_with_node(0, 0),
        lambda: catalog.born_with_block(0, 0),
        lambda: [decode_birth(*row) for row in catalog.rows(BIRTH_PREFIX, BIRTH_PREFIX)],
    ):
        try:
            question()
        except errors.IndexDamaged:
            continue


def rocksdb(data: bytes) -> str | None:
    (FOLDER / "000001.log").write_bytes(data)
    return rocksdb_records.damaged_record(FOLDER)


_ZONES: Final = (UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia"))
_CLOCKS: Final = (1_795_000_000_000_000_000, 0, (1 << 63) - 1, -1)


def when_words(data: bytes) -> when.When:
    choice, text = data[:1], data[1:].decode("utf-8", "surrogateescape")
    number = choice[0] if choice else 0
    found = when.parse_when(text, _CLOCKS[number // 3 % 4], _ZONES[number % 3])
    return found


def snapshot_name(data: bytes) -> None:
    when.check_snapshot_name(data)


def listed_name(data: bytes) -> int:
    return when.display_second(data.decode("utf-8", "surrogateescape"))


def mount_table(data: bytes) -> list[mounts.MountPoint]:
    (FOLDER / "mountinfo").write_bytes(data)
    return mounts.mount_points(FOLDER / "mountinfo")


def message(data: bytes) -> wire.Message:
    found = wire.decode(data)
    try:
        wire.reported(found)
    except errors.BadRequest:
        return found
    return found


def recovery_key(data: bytes) -> RootSeed:
    return recovery.from_text(data.decode("utf-8", "surrogateescape"))


def recovery_share(data: bytes) -> Any:
    return shares.read(data.decode("utf-8", "surrogateescape"))
