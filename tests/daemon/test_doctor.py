"""What doctor says of machines of several kinds; each is a few files."""

from pathlib import Path

import pytest

from hyperfs.daemon import doctor
from hyperfs.store import folder


def test_updatedb_that_walks_mounts_is_told_with_the_line_to_change(tmp_path: Path) -> None:
    configuration = tmp_path / "updatedb.conf"
    configuration.write_text('PRUNE_BIND_MOUNTS="yes"\nPRUNEFS="NFS nfs tmpfs"\n')
    found = doctor.updatedb(configuration)
    assert found.good is None
    assert "fuse.hyperfs" in found.mend
    configuration.write_text('PRUNEFS="NFS fuse.hyperfs tmpfs"\n')
    assert doctor.updatedb(configuration).good


def test_a_machine_without_fuse(tmp_path: Path) -> None:
    found = next(iter(doctor.fuse(tmp_path / "fuse")))
    assert found.good is False
    assert "modprobe" in found.mend


def test_a_store_that_others_may_read_and_one_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    store = tmp_path / "store"
    assert next(iter(doctor.store_findings(store))).good
    store.mkdir()
    (store / "letter").touch()
    assert next(iter(doctor.store_findings(store))).good is False
    (store / "letter").unlink()
    folder.lay_out(store)
    (store / folder.CONTROL).touch()
    (store / folder.KEYS).write_bytes(b"no key file")
    folder.write_format(store, bytes(32))
    found = list(doctor.store_findings(store))
    assert any(finding.what == "key file" and finding.good is False for finding in found)
    store.chmod(0o755)
    assert any("chmod" in finding.mend for finding in doctor.store_findings(store))
