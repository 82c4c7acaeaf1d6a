"""Key files on a disk: what was saved opens again, and only with the right passphrase."""

import os
from pathlib import Path

import pytest

from hyperfs.crypto.keys import RootSeed
from hyperfs.daemon import key_files
from hyperfs.errors import BadRequest, Corrupt, KeyMissing, WrongPassphrase

DRIVE = bytes(range(32))


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def nobody(what: str) -> bytes | None:
    return None


def refuse(what: str) -> bytes | None:
    raise AssertionError("asked for a passphrase that nothing needs")


def test_a_plain_root_key_opens_without_a_question() -> None:
    root = RootSeed(os.urandom(32))
    key_files.save_root(DRIVE, root, None)
    assert key_files.has_root(DRIVE)
    assert key_files.load_root(DRIVE, refuse) == root


def test_a_wrapped_one_needs_its_passphrase() -> None:
    root = RootSeed(os.urandom(32))
    key_files.save_root(DRIVE, root, b"open sesame")
    assert key_files.load_root(DRIVE, lambda what: b"open sesame") == root
    with pytest.raises(WrongPassphrase):
        key_files.load_root(DRIVE, lambda what: b"open barley")
    with pytest.raises(WrongPassphrase):
        key_files.load_root(DRIVE, nobody)


def test_what_is_forgotten_is_missing() -> None:
    key_files.save_root(DRIVE, RootSeed(os.urandom(32)), None)
    key_files.forget_root(DRIVE)
    assert not key_files.has_root(DRIVE)
    with pytest.raises(KeyMissing, match="recovery key"):
        key_files.load_root(DRIVE, nobody)


def test_a_file_of_absurd_length_is_not_read_as_a_key(tmp_path: Path) -> None:
    key_files.save_root(DRIVE, RootSeed(os.urandom(32)), None)
    next((tmp_path / "hyperfs/roots").iterdir()).write_bytes(bytes(100_000))
    with pytest.raises(Corrupt, match="too long"):
        key_files.load_root(DRIVE, nobody)


def test_an_empty_passphrase_wraps_nothing() -> None:
    with pytest.raises(BadRequest):
        key_files.save_root(DRIVE, RootSeed(os.urandom(32)), b"")
