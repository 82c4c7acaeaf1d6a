"""Mail on a drive: several deliverers and a reader at once, in Maildir and in mbox with its locks."""

import mailbox
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tally
from tests.mount.drive import LONG, Drive

MESSAGES = 150 if LONG else 25

DELIVER = """
import mailbox, sys, time
kind, path, name, count = sys.argv[1:]
box = getattr(mailbox, kind)(path, create=True)
for number in range(int(count)):
    message = mailbox.mboxMessage() if kind != "Maildir" else mailbox.MaildirMessage()
    message["From"] = f"{name}@example.org"
    message["Subject"] = f"{name} {number}"
    message.set_payload("From the first line on\\n" + f"{name} {number}\\n" * (number % 40))
    while True:
        try:
            box.lock()  # fcntl, and a lock file beside it that is linked into place; nothing for Maildir
            break
        except mailbox.ExternalClashError:
            time.sleep(0.01)
    try:
        box.add(message)
        box.flush()
    finally:
        box.unlock()
box.close()
"""


def deliver(kind: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    for name in "abc":
        yield subprocess.Popen(
            [sys.executable, "-c", DELIVER, kind, str(path), name, str(MESSAGES)],
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )


def wait(deliverers: list[subprocess.Popen[str]]) -> None:
    for process in deliverers:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors


def subjects(box: mailbox.Mailbox[mailbox.Message]) -> list[str]:
    return sorted(str(message["Subject"]) for message in box)


EXPECTED = sorted(f"{name} {number}" for name in "abc" for number in range(MESSAGES))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("kind", ["mbox", "MMDF", "Babyl", "MH"])
def test_three_deliverers_to_one_locked_mailbox(drive: Drive, kind: str) -> None:
    path = drive.point / "box"
    getattr(mailbox, kind)(path, create=True).close()
    wait(list(deliver(kind, path)))

    def check() -> None:
        box = getattr(mailbox, kind)(path, create=False)
        assert subjects(box) == EXPECTED
        box.close()

    check()
    box = getattr(mailbox, kind)(path, create=False)
    box.lock()
    for key in list(box.keys())[::2]:
        box.remove(key)
    box.flush()  # writes the rest anew beside it, and renames that over it
    box.unlock()
    left = subjects(box)
    box.close()
    assert len(left) == len(EXPECTED) // 2
    drive.remount()
    box = getattr(mailbox, kind)(path, create=False)
    assert subjects(box) == left
    box.close()
    tally.add(f"messages delivered to a mailbox of kind {kind}", len(EXPECTED))


@pytest.mark.timeout(1200)
def test_a_maildir_is_read_while_mail_arrives(drive: Drive) -> None:
    path = drive.point / "Maildir"
    box = mailbox.Maildir(path, create=True)
    deliverers = list(deliver("Maildir", path))
    read: dict[str, str] = {}
    running = True
    while running:
        running = any(process.poll() is None for process in deliverers)
        for key in list(box.keys()):
            if key not in read:
                message = box[key]
                message.set_subdir("cur")
                message.add_flag("S")
                box[key] = message  # from new/ to cur/, under the name that says that it was seen
                read[key] = str(message["Subject"])
    wait(deliverers)
    assert sorted(read.values()) == EXPECTED
    drive.snapshot("read")
    drive.kill()
    drive.mount()
    again = mailbox.Maildir(path, create=False)
    assert subjects(again) == EXPECTED
    assert all(message.get_flags() == "S" for message in again)
    assert not list((path / "tmp").iterdir())
    tally.add("messages delivered to a mailbox of kind Maildir", len(EXPECTED))
