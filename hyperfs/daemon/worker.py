"""The process of a mounted drive: opens the volume, mounts it, serves kernel and control socket until the end.

Run as `python -m hyperfs.daemon.worker FD`: the spec comes on standard input, readiness goes to the descriptor.
"""

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio
from tzlocal import get_localzone

from hyperfs.daemon import exit_codes, requests, wire
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.following import follow, is_follower
from hyperfs.daemon.hardening import give_back_memory, keep_memory_private
from hyperfs.daemon.process import Spec
from hyperfs.daemon.retention import Clocks, Retention, paced
from hyperfs.daemon.server import ControlSocket
from hyperfs.daemon.shared_folders import SharedFolders
from hyperfs.daemon.wire import Message
from hyperfs.errors import HyperfsError, Refused, innermost
from hyperfs.fuse.mount import Mount, MountOptions
from hyperfs.service.beating import beat
from hyperfs.service.notify import Notifier
from hyperfs.sharing import link as links
from hyperfs.sharing.caches import MOST_BYTES, Room
from hyperfs.sharing.link import Link
from hyperfs.sharing.reader import Reader
from hyperfs.sharing.store import keys_in, stores_of_links
from hyperfs.sharing.strong import show_linked
from hyperfs.store.files import Disk
from hyperfs.volume.cloning import MARKER
from hyperfs.volume.completing import Completing
from hyperfs.volume.moving import Mover
from hyperfs.volume.opening import open_volume
from hyperfs.volume.options import Options
from hyperfs.volume.view import show_version
from hyperfs.volume.volume import Volume

log = logging.getLogger("hyperfs.daemon")

TELL_SECONDS = 0.1
"""How often an opening that takes long tells how far it is."""
LAST_WORDS_SECONDS = 2.0
"""How long those that wait for the end may take to read of it."""
GIVE_BACK_SECONDS = 30.0
FIRST_LOOK_SECONDS = 1.0
"""What is looked at first in a clone is not to stand behind what comes in the background."""
LAST_COMMIT_SECONDS = 60.0
"""A signal asks for an end now: what the kernel can't send back in that time is lost."""

Say = Callable[[Message], None]


def serve(spec: Spec, say: Say, manager: Notifier) -> None:
    """Mounts and serves; returns when the drive has been unmounted, with everything on disk.

    `say` gets progress, then {"ready": pid, "read_only_because": words}; the service manager hears how it goes after
    that. Raises what opening, mounting or the last commit raises.
    """
    keep_memory_private()
    link = None if spec.link is None else links.parse(spec.link)
    link_keys = None if link is None else keys_in(link)
    options = Options(
        read_only=link is None and (spec.read_only or spec.at is not None),
        link_keys=link_keys,
        progress=_progress(say),
    )
    volume = _opened(spec, options)
    control: ControlSocket | None = None
    try:
        if link is not None and link.version is not None:
            show_linked(volume, link)
        if spec.at is not None:
            show_version(volume, spec.at, volume.overlay.now_ns(), get_localzone())
        control = ControlSocket(spec.store)
        mount = _mount(volume, spec)
    except BaseException:
        if control is not None:
            control.close()
        volume.parts.close()
        raise
    try:
        drive = Drive(volume, spec.store, mount)
        if link is not None:
            _read_by(link, drive, mount, spec)
        retention = Retention(drive, Clocks(volume.overlay.now_ns))
        drive.background = retention
        drive.mover = Mover(volume)
        if not volume.read_only:
            drive.shared = SharedFolders(drive)
        ready = {"ready": os.getpid(), "read_only_because": volume.parts.why_read_only}
        trio.run(_run, drive, mount, retention, control, partial(say, ready), manager)
        if drive.failure is not None:
            raise drive.failure
    finally:
        mount.close()
        control.close()


def _read_by(link: Link, drive: Drive, mount: Mount, spec: Spec) -> None:
    volume = drive.volume
    is_live = link.version is None and spec.at is None
    drive.reader = volume.returning.elsewhere = Reader(volume, link, mount.show_newer, is_live)
    drive.links_room = _links_room(volume, spec)


def _links_room(volume: Volume, spec: Spec) -> Room | None:
    """None for a store that somebody keeps elsewhere than in the folder of links."""
    links_folder = stores_of_links()
    if spec.store.parent != links_folder.resolve():
        return None
    most = MOST_BYTES if spec.links_bytes is None else spec.links_bytes
    room = Room(links_folder, most, lambda: volume.returning.fetched_bytes)
    volume.returning.may_keep = lambda: room.is_there
    return room


def _opened(spec: Spec, options: Options) -> Volume:
    """A clone may lack what an opening needs."""
    if not Disk(spec.store).exists(MARKER):
        return open_volume(spec.store, spec.device_keys, options)
    from hyperfs.cloning.sparse_opening import open_clone

    return open_clone(spec.store, spec.device_keys, options)


def _progress(say: Say) -> Callable[[str, int, int], None]:
    told = 0.0

    def progress(what: str, done: int, of: int) -> None:
        nonlocal told
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            say({"progress": [what, done, of]})

    return progress


def _mount(volume: Volume, spec: Spec) -> Mount:
    """Raises Refused with the words that libfuse or fusermount3 has for it."""
    options = MountOptions(
        fsname=str(spec.store),
        allow_other=spec.allow_other,
        read_only=volume.read_only,
        show_versions=spec.show_versions,
        is_all_readable=spec.link is not None,
    )
    with _words_on_stderr() as words:
        try:
            return Mount(volume, spec.directory, options)
        except (RuntimeError, OSError) as error:
            said = " ".join(words()) or str(error)
            raise Refused(f"{spec.directory} can't be mounted: {said}. 'hyperfs doctor' looks for the reason") from None


@contextmanager
def _words_on_stderr() -> Iterator[Callable[[], list[str]]]:
    """Collects what C code prints, which is all that libfuse tells of a failure; passes it on afterwards."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)

        def words() -> list[str]:
            said.seek(0)
            return said.read().decode(errors="replace").splitlines()

        try:
            yield words
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            for line in words():
                log.info("%s", line)


async def _run(
    drive: Drive,
    mount: Mount,
    retention: Retention,
    control: ControlSocket,
    ready: Callable[[], None],
    manager: Notifier,
) -> None:
    mounted = trio.Event()
    serving = 0
    mover = drive.mover
    assert mover is not None

    async def handle(name: str, params: Message, tell: wire.Tell) -> Message:
        nonlocal serving
        await mounted.wait()
        serving += 1
        try:
            return await requests.answer(drive, name, params, tell)
        finally:
            serving -= 1

    def announce() -> None:
        mounted.set()
        ready()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(control.serve, handle)
        nursery.start_soon(_end_at_signal, mount, manager)
        nursery.start_soon(beat, manager)
        nursery.start_soon(_stay_small)
        try:
            await mount.serve(announce, *_beside(drive, mount, retention, mover))
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever waits for the end hears of it, and so does main
            drive.end(innermost(error))
        else:
            drive.end()
        manager.stopping("Unmounted")
        with trio.move_on_after(LAST_WORDS_SECONDS):
            while serving:
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


def _beside(drive: Drive, mount: Mount, retention: Retention, mover: Mover) -> Iterator[Callable[[], Awaitable[None]]]:
    """What goes on while it is mounted. Of another's drive nothing is decided here, it is followed."""
    if drive.reader is not None:
        yield drive.reader.run
        if drive.links_room is not None:
            yield drive.links_room.run
        return
    following = follow(drive, mount) if is_follower(drive.volume) else None
    whole = Completing(drive.volume)
    whole.bar()

    async def complete() -> None:
        await trio.sleep(FIRST_LOOK_SECONDS)
        await whole.run()
        mover.look_again()
        if following is not None:
            following.shows = True

    yield from (retention.run, drive.cold.run, drive.peers.run, complete, partial(mover.run, paced()))
    if drive.shared is not None:
        yield drive.shared.run


async def _stay_small() -> None:
    """Holes that bursts of work left in the heaps would add up over the days."""
    while True:
        await trio.sleep(GIVE_BACK_SECONDS)
        await trio.to_thread.run_sync(give_back_memory)


async def _end_at_signal(mount: Mount, manager: Notifier) -> None:
    """SIGTERM and its like: everything is committed, then the drive is unmounted from under its users.

    Keeps listening: at a shutdown the supervisor passes on what this process gets as well, and the second signal
    must not kill the last commit.
    """
    ending = False
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async for number in signals:
            if not ending:
                ending = True
                log.info("ending at %s", signal.Signals(number).name)
                manager.stopping("Committing, then unmounting")
                await _commit_in_time(mount.volume)
                mount.stop()


async def _commit_in_time(volume: Volume) -> None:
    if volume.read_only:
        return
    with trio.move_on_after(LAST_COMMIT_SECONDS):
        try:
            await volume.commit()
        except (HyperfsError, OSError) as error:
            log.error("the last changes are not a version yet: %s", error)


def main() -> int:
    """For the supervisor. The exit code is that of the error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    channel = os.fdopen(int(sys.argv[1]), "wb", buffering=0)

    def say(message: Message) -> None:
        if not channel.closed:
            try:
                channel.write(wire.encode(message))
            except BrokenPipeError:
                channel.close()  # the command that wanted to know is gone; the drive goes on
        if "progress" not in message:
            channel.close()

    try:
        serve(Spec.decode(sys.stdin.buffer.read()), say, Notifier())  # the supervisor's child: no service of its own
    except Exception as error:
        found = innermost(error)
        log.exception("the drive ends")
        say(wire.error_message(found))
        return exit_codes.exit_code_of(found)
    log.info("unmounted")
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main())
