"""What is a store, what is half of one, and who has it open."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperfs.errors import Corrupt, FormatTooNew, KeyMissing, NotAStore, Refused, StoreLocked
from hyperfs.store import folder
from hyperfs.store.folder import (
    StoreInfo,
    StoreLock,
    decode_format,
    encode_format,
    inspect,
    lay_out,
    locked_by,
    root_key_path,
    write_format,
)

PAGE = (Path(__file__).parents[2] / "docs" / "formats" / "store-folder.md").read_text()
DRIVE = bytes(range(32))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """As init leaves it, with stand-ins for what other modules write."""
    path = tmp_path / "store"
    lay_out(path)
    (path / folder.KEYS).write_bytes(b"keys")
    (path / folder.CONTROL).write_bytes(b"control")
    write_format(path, DRIVE)
    return path


def test_a_store_is_recognised(store: Path) -> None:
    assert inspect(store) == StoreInfo(store, 1, DRIVE)


def test_attack_l01_nobody_else_can_look_into_a_store(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        lay_out(tmp_path / "store")
        write_format(tmp_path / "store", DRIVE)
        StoreLock(tmp_path / "store").release()
    finally:
        os.umask(old)
    for path in [tmp_path / "store", *(tmp_path / "store").iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_backup_programs_see_the_tag(store: Path) -> None:
    tag = (store / "CACHEDIR.TAG").read_bytes()
    assert tag.startswith(b"Signature: 8a477f597d28d172789f06886806bc55\n")


def test_the_page_shows_the_format_file() -> None:
    block = re.search(r"```hex\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    shown = b"".join(bytes.fromhex(line.split("#")[0]) for line in block[1].splitlines())
    assert shown == encode_format(DRIVE)


@given(st.binary(min_size=32, max_size=32))
def test_the_format_file_reads_back(drive_id: bytes) -> None:
    assert decode_format(encode_format(drive_id), Path("x")).drive_id == drive_id


def test_every_flipped_bit_of_the_format_file_is_reported_or_names_another_drive() -> None:
    whole = encode_format(DRIVE)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            info = decode_format(bytes(damaged), Path("x"))
        except (Corrupt, FormatTooNew):
            continue
        assert info.drive_id != DRIVE  # the opener compares it with the control chain


@pytest.mark.parametrize("data", [b"", b"hyperfs store\n", encode_format(DRIVE)[:-1], encode_format(DRIVE) + b"\n"])
def test_a_cut_or_lengthened_format_file_is_damage(data: bytes) -> None:
    with pytest.raises(Corrupt, match="three lines"):
        decode_format(data, Path("x"))


def test_a_later_format_says_update(store: Path) -> None:
    (store / "hyperfs").write_bytes(b"hyperfs store\nformat 2\nwho knows what\n")
    with pytest.raises(FormatTooNew, match="update hyperfs"):
        inspect(store)


def test_what_is_no_store_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    for name, words in [
        ("nowhere", "does not exist"),
        ("file", "not a folder"),
        ("empty", "is empty"),
        ("photos", "no hyperfs store"),
    ]:
        with pytest.raises(NotAStore, match=words):
            inspect(tmp_path / name)


def test_half_a_store_says_which_half_is_missing(store: Path, tmp_path: Path) -> None:
    (store / "control").rename(tmp_path / "control")
    with pytest.raises(NotAStore, match="control missing"):
        inspect(store)
    (tmp_path / "control").rename(store / "control")
    (store / "hyperfs").unlink()
    with pytest.raises(NotAStore, match="half a store: hyperfs is missing"):
        inspect(store)


def test_an_init_that_was_killed_says_so(tmp_path: Path) -> None:
    lay_out(tmp_path / "store")
    with pytest.raises(NotAStore, match="did not finish"):
        inspect(tmp_path / "store")


def test_a_lost_key_file_points_to_recovery(store: Path) -> None:
    (store / "keys").unlink()
    with pytest.raises(KeyMissing, match="hyperfs recover"):
        inspect(store)
    assert inspect(store, need_keys=False).drive_id == DRIVE


def test_a_format_file_that_is_a_link_is_not_followed(store: Path, tmp_path: Path) -> None:
    (store / "hyperfs").rename(tmp_path / "elsewhere")
    (store / "hyperfs").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic") as caught:
        inspect(store)
    assert caught.value.errno == errno.ELOOP


def test_nothing_is_laid_out_over_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(Refused, match=r"a\.jpg"):
        lay_out(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_two_lockers_one_store(store: Path) -> None:
    with StoreLock(store):
        with pytest.raises(StoreLocked) as caught:
            StoreLock(store)
        assert caught.value.pid == os.getpid()
        assert locked_by(store) == os.getpid()
    assert locked_by(store) is None


def test_the_lock_of_a_killed_process_is_free(store: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from hyperfs.store.folder import StoreLock\n"
        "lock = StoreLock(Path(sys.argv[1])); print(os.getpid(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(store)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        with pytest.raises(StoreLocked, match=f"by process {pid}"):
            StoreLock(store)
        other.kill()
        other.wait()
    with StoreLock(store):
        assert locked_by(store) == os.getpid()


def test_an_unreadable_pid_does_not_hide_the_refusal(store: Path) -> None:
    with StoreLock(store):
        (store / "lock").write_bytes(b"\xff\xfe")
        with pytest.raises(StoreLocked) as caught:
            StoreLock(store)
        assert caught.value.pid is None
        assert locked_by(store) == 0


def test_the_root_key_lies_apart_from_every_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert root_key_path(DRIVE) == tmp_path / "hyperfs" / "roots" / f"{DRIVE.hex()}.key"
