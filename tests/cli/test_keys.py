"""Keys: shown, confirmed, wrapped; and a store whose key file is gone."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from hyperfs.daemon.mounts import is_dead

from .machine import Machine


def recovery_key(machine: Machine, *options: str | Path) -> str:
    return str(machine.facts("key", "show", machine.store, *options)["recovery_key"])


def test_the_key_that_init_shows_is_the_one_that_show_shows(machine: Machine) -> None:
    said = machine.run("init", machine.store, "--name", "Photos").stdout
    key = recovery_key(machine)
    assert key in "".join(said.split())
    assert machine.run("key", "show", machine.store).stdout.strip() == key
    assert "█" in machine.run("key", "show", machine.store, "--qr").stdout


def test_a_card_is_a_new_file_for_the_user_alone(machine: Machine) -> None:
    card = machine.folder / "card.svg"
    machine.run("init", machine.store, "--name", "Photos", "--card", card)
    assert card.stat().st_mode & 0o777 == 0o600
    assert card.read_text().startswith("<svg")
    assert "Photos" in card.read_text()
    text = machine.folder / "card.txt"
    machine.run("key", "show", machine.store, "--card", text)
    assert recovery_key(machine)[:5] in text.read_text()
    machine.run("key", "show", machine.store, "--card", text, code=1)


def test_status_warns_until_the_key_was_given_back(machine: Machine) -> None:
    machine.init()
    key = recovery_key(machine)
    assert not machine.facts("status", machine.store)["recovery_key_confirmed"]
    wrong = ("3" if key[0] != "3" else "4") + key[1:]
    assert "group 1" in machine.run("key", "confirm", machine.store, "--recovery-key", wrong, code=5).stderr
    assert machine.facts("status", machine.store)["warnings"]
    machine.run("key", "confirm", machine.store, stdin=key.lower().replace("-", " ") + "\n")
    facts = machine.facts("status", machine.store)
    assert facts["recovery_key_confirmed"]
    assert facts["warnings"] == []


def test_the_key_of_another_drive_is_told_from_a_mistyped_one(machine: Machine) -> None:
    machine.init()
    other = machine.folder / "other"
    machine.run("init", other)
    theirs = machine.facts("key", "show", other)["recovery_key"]
    said = machine.run("key", "confirm", machine.store, "--recovery-key", theirs, code=5).stderr
    assert "another drive" in said
    said = machine.run("recover", machine.store, "--recovery-key", theirs, code=5).stderr
    assert "another drive" in said


def test_forget_removes_the_root_key_once_confirmed(machine: Machine) -> None:
    machine.init()
    key = recovery_key(machine)
    machine.run("key", "confirm", machine.store, "--forget", "--recovery-key", key)
    assert not list((machine.folder / "config/hyperfs/roots").iterdir())
    assert "recovery key" in machine.run("key", "show", machine.store, code=5).stderr
    assert machine.facts("status", machine.store)["recovery_key_confirmed"]


@pytest.mark.slow
def test_a_passphrase_is_set_changed_and_removed(machine: Machine) -> None:
    machine.init()
    key = recovery_key(machine)
    first, second = machine.folder / "first", machine.folder / "second"
    first.write_text("one\n")
    second.write_text("two\n")
    machine.run("key", "passphrase", machine.store, "--new-passphrase-file", first)
    machine.run("status", machine.store, code=5)
    machine.run("key", "show", machine.store, code=5)
    assert recovery_key(machine, "--passphrase-file", first) == key
    machine.run(
        "key", "passphrase", machine.store, "--passphrase-file", second, "--new-passphrase-file", second, code=5
    )
    change = ["--passphrase-file", first, "--new-passphrase-file", second]
    machine.run("key", "passphrase", machine.store, *change)
    machine.run("status", machine.store, "--passphrase-file", first, code=5)
    machine.run("key", "passphrase", machine.store, "--passphrase-file", second, "--remove")
    assert machine.facts("status", machine.store)["version"] == 1
    machine.run("key", "passphrase", machine.store, code=2)  # nobody is there to type one


def test_attack_l01_key_files_are_for_the_user_alone(machine: Machine) -> None:
    machine.init()
    root = next((machine.folder / "config/hyperfs/roots").iterdir())
    for path in (machine.store / "keys", root):
        assert path.stat().st_mode & 0o777 == 0o600
    assert root.parent.stat().st_mode & 0o777 == 0o700
    (machine.store / "keys").chmod(0o644)
    assert "others may use" in machine.run("doctor", machine.store, code=1).stdout


@pytest.mark.mount
@pytest.mark.usefixtures("fuse")
def test_recover_opens_a_store_without_its_key_file_and_loses_nothing_that_was_synced(machine: Machine) -> None:
    machine.mount()
    key = recovery_key(machine)
    files = {"committed": b"old" * 1000}
    (machine.point / "committed").write_bytes(files["committed"])
    machine.run("snapshot", machine.point, "kept")
    noise = random.Random(1)
    for name, size in (("small", 100), ("middle", 200_000), ("large", 3_000_000)):
        files[name] = noise.randbytes(size)
        fd = os.open(machine.point / name, os.O_CREAT | os.O_WRONLY)
        os.write(fd, files[name])
        os.fsync(fd)
        os.close(fd)
    kill(machine)
    before = machine.store / "keys"
    before.unlink()
    assert "recover" in machine.mount(code=5).stderr
    assert machine.facts("recover", machine.store, "--recovery-key", key)["device"] == 2
    for _ in range(2):
        machine.mount()
        assert {path.name: path.read_bytes() for path in machine.point.iterdir()} == files
        assert os.listdir(machine.point / ".versions/kept") == ["committed"]
        (machine.point / "later").write_text("goes on")
        files["later"] = b"goes on"
        machine.unmount()
    assert machine.facts("verify", machine.store)["damage"] == []
    facts = machine.facts("status", machine.store)
    assert [log["number"] for log in facts["logs"]] == [1, 2, 3, 4]
    assert facts["recovery_key_confirmed"]
    listed = machine.facts("log", machine.store)
    assert [commit["version"] for commit in listed] == list(range(facts["version"], 0, -1))


def kill(machine: Machine) -> None:
    """Both processes, the one that would start it again first; then the dead mount is detached."""
    worker = machine.drive_pid()
    parent = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    for pid in (parent, worker):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 20
    while not is_dead(machine.point) and time.monotonic() < until:
        pass
    machine.run("unmount", machine.point, code=1)


def test_recover_keeps_a_key_file_that_was_there_and_wraps_the_new_one(machine: Machine) -> None:
    forgotten = machine.folder / "forgotten"
    forgotten.write_text("what was it again")
    machine.init("--passphrase-file", forgotten)
    key = recovery_key(machine, "--passphrase-file", forgotten)
    old = (machine.store / "keys").read_bytes()
    new = machine.folder / "new"
    new.write_text("easier")
    machine.run("recover", machine.store, "--passphrase-file", new, stdin=key)
    assert (machine.store / "keys.before-recovery").read_bytes() == old
    assert machine.facts("status", machine.store, "--passphrase-file", new)["version"] == 2
    machine.run("recover", machine.store, "--recovery-key", key)
    assert machine.facts("status", machine.store)["version"] == 3
    assert machine.facts("verify", machine.store)["damage"] == []


def split(machine: Machine, *options: str | Path) -> list[Path]:
    into = machine.folder / "shares"
    return [Path(file) for file in machine.facts("key", "split", machine.store, "--into", into, *options)["files"]]


def shares_of(*files: Path) -> list[str | Path]:
    return [word for file in files for word in ("--share", file)]


def test_the_recovery_key_is_split_and_put_together_again(machine: Machine) -> None:
    machine.init()
    files = split(machine)
    assert [file.name for file in files] == [f"share-{number}-of-5.txt" for number in range(1, 6)]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    told = machine.run("key", "recover", *shares_of(files[4], files[0], files[2])).stdout.strip()
    assert told == recovery_key(machine)
    files[1].write_text(files[1].read_text().replace("39 ", "39 x"))
    said = machine.run("key", "recover", *shares_of(*files[:3]), code=5).stderr
    assert f"{files[1]}: word 39 (" in said
    files[0].unlink()
    machine.run("key", "split", machine.store, "--into", files[0].parent, code=1)
    assert len(list(files[0].parent.iterdir())) == 4, "what was there is not written over, and nothing new is left"


def test_shares_do_what_the_key_does_where_it_is_nowhere_else(machine: Machine) -> None:
    """By standard input, with a passphrase; the root is not on the machine any more, then neither is the key file."""
    machine.init()
    key = recovery_key(machine)
    machine.run("key", "confirm", machine.store, "--recovery-key", key, "--forget")
    assert "needs the recovery key" in machine.run("key", "split", machine.store, code=5).stderr
    (secret := machine.folder / "secret").write_text("correct horse\n")
    with_passphrase = ("--share-passphrase-file", secret)
    numbers = ("--shares", "3", "--threshold", "2")
    made = machine.facts("key", "split", machine.store, "--recovery-key", key, *numbers, *with_passphrase)["shares"]
    told = machine.run("key", "recover", *with_passphrase, stdin="\n".join(made[1:])).stdout
    assert told.strip() == key
    (machine.store / "keys").unlink()
    files = [machine.folder / "one", machine.folder / "two"]
    for file, words in zip(files, made[:2], strict=True):
        file.write_text(words)
    machine.run("recover", machine.store, *shares_of(*files), *with_passphrase)


@pytest.mark.parametrize(
    "words",
    [
        ("key", "split", ".", "--shares", "3", "--threshold", "4"),
        ("recover", "store", "--share", "file", "--recovery-key", "x"),
    ],
)
def test_what_does_not_go_together_about_shares(machine: Machine, words: tuple[str, ...]) -> None:
    machine.run(*words, code=2)
