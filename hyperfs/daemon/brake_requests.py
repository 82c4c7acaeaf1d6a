"""Requests about the brake: what put it on, and releasing it."""

from hyperfs.daemon.drive import Drive
from hyperfs.daemon.wire import Message, Tell


async def brake(drive: Drive, params: Message, tell: Tell) -> Message:
    """Whether it is on and what put it on. What is not looked at yet is looked at first, but with `look` false."""
    if params.get("look", True):
        await drive.volume.brake.look()
    return _facts(drive)


async def release(drive: Drive, params: Message, tell: Tell) -> Message:
    """`was_on`: whether there was something to release."""
    drive.volume.check_writable()
    was_on = await drive.volume.brake.release()
    return _facts(drive) | {"was_on": was_on}


def _facts(drive: Drive) -> Message:
    return {**drive.volume.brake.facts(), "words": drive.volume.brake.words()}
