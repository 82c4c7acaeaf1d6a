"""npm's hypercore and we replicate each other's logs over TCP, and each verifies all that it gets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.log.log import Log
from hyperfs.log.manifest import default_v1
from hyperfs.log.replica import Replica
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.own_log import OwnLog
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.session import Exchanger, open_exchanger
from hyperfs.store.files import Disk
from tests import tally

from .npm_peer import NpmPeer, hash_of, made_block, npm_peer

SEED = b"\x01" * 32
SIGNER = SigningKeyPair(SEED)
MANIFEST = default_v1(SIGNER.public_key)


@asynccontextmanager
async def serving(log: Replicating, number: int = 7) -> AsyncIterator[tuple[Exchanger, int]]:
    """An exchanger with this log, and the port on which it listens."""
    async with open_exchanger(CurveKeyPair(bytes([number]) * 32)) as exchanger:
        exchanger.add(log)
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exchanger.serve, listener)
            yield exchanger, listener.socket.getsockname()[1]
            nursery.cancel_scope.cancel()


async def until(exchanger: Exchanger, condition: Callable[[], bool]) -> None:
    with trio.fail_after(120):
        while not condition():
            await exchanger.changed.wait()


def own_log(tmp_path: Path, count: int, size: int = 300) -> tuple[Log, list[bytes]]:
    disk = Disk(tmp_path)
    log = Log.create(disk, "log", SIGNER)
    blocks = [made_block(number, size) for number in range(count)]
    log.append(blocks)
    log.flush()
    return log, blocks


def replica(tmp_path: Path, fork: int = 0) -> Replica:
    (tmp_path / "there").mkdir(exist_ok=True)
    return Replica(Disk(tmp_path / "there"), "log", SIGNER.public_key, fork)


async def npm_downloads(npm: NpmPeer, port: int, log: Log, length: int) -> None:
    await npm.do("open", name="core", key=log.key.hex())
    await npm.do("connect", port=port)
    await npm.do("wait", name="core", length=length)


async def test_npm_replicates_a_log_of_ours_in_full(tmp_path: Path) -> None:
    log, blocks = own_log(tmp_path, 1000)
    async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port), npm_peer(tmp_path / "npm") as npm:
        await npm_downloads(npm, port, log, 1000)
        found = await npm.do("download", name="core", start=0, end=1000)
        assert (found["length"], found["contiguousLength"]) == (1000, 1000)
        assert found["treeHash"] == log.head().tree_hash.hex()
        assert (await npm.do("hash", name="core", start=0, end=1000))["hash"] == hash_of(blocks)


async def test_we_replicate_a_log_of_npm_s_in_full(tmp_path: Path) -> None:
    taking = replica(tmp_path)
    log = Replicating(taking, MANIFEST, taking)
    async with serving(log) as (exchanger, port), npm_peer(tmp_path / "npm") as npm:
        await npm.do("open", name="core", seed=SEED.hex())
        wrote = await npm.do("append", name="core", start=0, count=1000, size=300)
        await npm.do("connect", port=port)
        await until(exchanger, lambda: taking.length == 1000 and log.is_whole)
        head = taking.head()
        assert head is not None
        assert head.tree_hash.hex() == wrote["treeHash"]
        assert list(taking.ranges()) == [(0, 1000)]
        assert [taking.get_verified(block) for block in range(1000)] == [made_block(n, 300) for n in range(1000)]
    taking.close()


async def test_npm_gets_single_blocks_and_places_of_ours(tmp_path: Path) -> None:
    log, blocks = own_log(tmp_path, 700)
    async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port), npm_peer(tmp_path / "npm") as npm:
        await npm_downloads(npm, port, log, 700)
        wanted = [0, 699, 3, 512, 511, 100, 101, 355]
        found = await npm.do("get", name="core", blocks=wanted)
        assert [bytes.fromhex(block) for block in found["blocks"]] == [blocks[index] for index in wanted]
        for place in (0, 299, 300, 123_456, 209_999):
            assert (await npm.do("seek", name="core", bytes=place))["found"] == [place // 300, place % 300]


async def test_we_get_single_blocks_of_npm_s(tmp_path: Path) -> None:
    taking = replica(tmp_path)
    log = Replicating(taking, MANIFEST, taking)
    log.want([(500, 501), (3, 6), (0, 1)])
    async with serving(log) as (exchanger, port), npm_peer(tmp_path / "npm") as npm:
        await npm.do("open", name="core", seed=SEED.hex())
        await npm.do("append", name="core", start=0, count=700, size=50)
        await npm.do("connect", port=port)
        await until(exchanger, lambda: taking.length == 700 and log.is_whole)
        assert list(taking.ranges()) == [(0, 1), (3, 6), (500, 501)]
        log.want([(0, 4), (690, 700)])
        exchanger.touch(log)
        await until(exchanger, lambda: log.is_whole)
        assert list(taking.ranges()) == [(0, 6), (500, 501), (690, 700)]
    taking.close()


async def test_what_is_appended_here_reaches_npm_at_once(tmp_path: Path) -> None:
    log, _ = own_log(tmp_path, 10)
    shared = Replicating(OwnLog(log), MANIFEST)
    async with serving(shared) as (exchanger, port), npm_peer(tmp_path / "npm") as npm:
        await npm_downloads(npm, port, log, 10)
        for start in (10, 11, 50, 200):
            end = log.append([b"live %d" % n for n in range(log.length, start + 40)]) and log.length
            log.flush()
            shared.appended(0, end)
            exchanger.touch(shared)
            found = await npm.do("wait", name="core", length=end)
            assert found["treeHash"] == log.head().tree_hash.hex()
            (block,) = (await npm.do("get", name="core", blocks=[end - 1]))["blocks"]
            assert bytes.fromhex(block) == b"live %d" % (end - 1)


async def test_what_npm_appends_reaches_us_at_once(tmp_path: Path) -> None:
    taking = replica(tmp_path)
    log = Replicating(taking, MANIFEST, taking)
    async with serving(log) as (exchanger, port), npm_peer(tmp_path / "npm") as npm:
        await npm.do("open", name="core", seed=SEED.hex())
        await npm.do("connect", port=port)
        length = 0
        for count in (1, 5, 1, 300):
            wrote = await npm.do("append", name="core", start=length, count=count, size=20)
            length += count
            await until(exchanger, lambda length=length: taking.length == length and log.is_whole)  # type: ignore[misc]
            head = taking.head()
            assert head is not None
            assert head.tree_hash.hex() == wrote["treeHash"]
        assert list(taking.ranges()) == [(0, 307)]
    taking.close()


async def test_blocks_that_were_let_go_are_not_offered_and_the_rest_arrives(tmp_path: Path) -> None:
    log, blocks = own_log(tmp_path, 400)
    gone = ((5, 9), (100, 300))
    async with (
        serving(Replicating(OwnLog(log, lambda: gone), MANIFEST)) as (_, port),
        npm_peer(tmp_path / "npm") as npm,
    ):
        await npm_downloads(npm, port, log, 400)
        for start, end in ((0, 5), (9, 100), (300, 400)):
            await npm.do("download", name="core", start=start, end=end)
            assert (await npm.do("hash", name="core", start=start, end=end))["hash"] == hash_of(blocks[start:end])
        found = await npm.attempt("get", name="core", blocks=[150], timeout=500)
        assert "REQUEST_TIMEOUT" in found["error"]


async def test_of_a_sparse_copy_of_npm_s_we_get_what_there_is(tmp_path: Path) -> None:
    """A copy, and not a log that npm has cleared: clearing takes nodes away without which it can't prove the rest."""
    log, _ = own_log(tmp_path, 400)
    taking = replica(tmp_path)
    sparse = Replicating(taking, MANIFEST, taking)
    async with npm_peer(tmp_path / "npm") as npm:
        async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port):
            await npm_downloads(npm, port, log, 400)
            for start, end in ((0, 5), (9, 100), (300, 400)):
                await npm.do("download", name="core", start=start, end=end)
            await npm.do("hangUp")
        async with serving(sparse, number=8) as (exchanger, port):
            await npm.do("connect", port=port)
            await until(exchanger, lambda: list(taking.ranges()) == [(0, 5), (9, 100), (300, 400)])
    taking.close()


async def test_what_npm_has_of_our_log_comes_back_to_us(tmp_path: Path) -> None:
    """From a writer of ours to npm, and from npm, who has no key, to a replica of ours."""
    log, blocks = own_log(tmp_path, 300)
    taking = replica(tmp_path)
    back = Replicating(taking, MANIFEST, taking)
    async with npm_peer(tmp_path / "npm") as npm:
        async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port):
            await npm_downloads(npm, port, log, 300)
            await npm.do("download", name="core", start=0, end=300)
            await npm.do("hangUp")
        async with serving(back, number=8) as (exchanger, port):
            await npm.do("connect", port=port)
            await until(exchanger, lambda: taking.length == 300 and back.is_whole)
            assert [taking.get_verified(block) for block in range(300)] == blocks
    taking.close()


async def test_npm_follows_a_plain_log_of_ours_that_was_truncated(tmp_path: Path) -> None:
    log, blocks = own_log(tmp_path, 300)
    async with npm_peer(tmp_path / "npm") as npm:
        async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port):
            await npm_downloads(npm, port, log, 300)
            await npm.do("download", name="core", start=0, end=300)
            await npm.do("hangUp")
        log.truncate(170)
        log.append([b"another past"] * 20)
        log.flush()
        async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port):
            await npm.do("connect", port=port)
            found = await npm.do("wait", name="core", length=0, fork=1)
            assert (found["length"], found["treeHash"]) == (190, log.head().tree_hash.hex())
            await npm.do("download", name="core", start=0, end=190)
            wanted = hash_of(blocks[:170] + [b"another past"] * 20)
            assert (await npm.do("hash", name="core", start=0, end=190))["hash"] == wanted


async def test_a_higher_fork_takes_nothing_from_us_and_is_a_log_of_its_own(tmp_path: Path) -> None:
    """Hypercore's owner, or who has stolen the key, signs a fork of no blocks: a copy of ours stays what it was."""
    taking = replica(tmp_path)
    log = Replicating(taking, MANIFEST, taking)
    async with npm_peer(tmp_path / "npm") as npm:
        await npm.do("open", name="core", seed=SEED.hex())
        await npm.do("append", name="core", start=0, count=100, size=50)
        async with serving(log) as (exchanger, port):
            await npm.do("connect", port=port)
            await until(exchanger, lambda: taking.length == 100 and log.is_whole)
            await npm.do("truncate", name="core", length=0)
            await until(exchanger, lambda: log.newest_fork == 1)
            wrote = await npm.do("append", name="core", start=5, count=30, size=60)
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert list(taking.ranges()) == [(0, 100)]
            assert [taking.get_verified(block) for block in range(100)] == [made_block(n, 50) for n in range(100)]
            await npm.do("hangUp")
        (tmp_path / "fork").mkdir()
        forked = Replica(Disk(tmp_path / "fork"), "log", SIGNER.public_key, 1)
        other = Replicating(forked, MANIFEST, forked)
        async with serving(other) as (exchanger, port):
            await npm.do("connect", port=port)
            await until(exchanger, lambda: forked.length == 30 and other.is_whole)
            head = forked.head()
            assert head is not None
            assert (head.fork, head.tree_hash.hex()) == (1, wrote["treeHash"])
        forked.close()
    taking.close()


COUNT, SIZE = 600, 1000


async def bytes_from_npm_to_npm(tmp_path: Path) -> int:
    async with npm_peer(tmp_path / "one") as one, npm_peer(tmp_path / "other") as other:
        made = await one.do("open", name="core", seed=SEED.hex())
        await one.do("append", name="core", start=0, count=COUNT, size=SIZE)
        port = (await one.do("listen"))["port"]
        await other.do("open", name="core", key=made["key"])
        await other.do("connect", port=port)
        await other.do("wait", name="core", length=COUNT)
        await other.do("download", name="core", start=0, end=COUNT)
        return bytes_of(await other.do("bytes"))


def bytes_of(found: Any) -> int:
    assert found["trouble"] == [None]
    return int(found["sent"]) + int(found["received"])


async def test_as_many_bytes_go_over_the_wire_as_from_npm_to_npm(tmp_path: Path) -> None:
    usual = await bytes_from_npm_to_npm(tmp_path)
    log, _ = own_log(tmp_path, COUNT, SIZE)
    async with serving(Replicating(OwnLog(log), MANIFEST)) as (_, port), npm_peer(tmp_path / "npm") as npm:
        await npm_downloads(npm, port, log, COUNT)
        await npm.do("download", name="core", start=0, end=COUNT)
        served = bytes_of(await npm.do("bytes"))
    taking = replica(tmp_path)
    shared = Replicating(taking, MANIFEST, taking)
    async with serving(shared) as (exchanger, port), npm_peer(tmp_path / "writer") as npm:
        await npm.do("open", name="core", seed=SEED.hex())
        await npm.do("append", name="core", start=0, count=COUNT, size=SIZE)
        await npm.do("connect", port=port)
        await until(exchanger, lambda: taking.length == COUNT and shared.is_whole)
        taken = bytes_of(await npm.do("bytes"))
    taking.close()
    tally.add("bytes on the wire, npm to npm", usual)
    tally.add("bytes on the wire, hyperfs to npm", served)
    tally.add("bytes on the wire, npm to hyperfs", taken)
    assert served < 1.1 * usual
    assert taken < 1.1 * usual


async def test_several_logs_go_through_one_connection_with_npm(tmp_path: Path) -> None:
    log, blocks = own_log(tmp_path, 60)
    taking = Replica(Disk(tmp_path), "taken", SigningKeyPair(b"\x02" * 32).public_key, 0)
    target = Replicating(taking, taking.manifest, taking)
    async with (
        serving(Replicating(OwnLog(log), MANIFEST)) as (exchanger, port),
        npm_peer(tmp_path / "npm") as npm,
    ):
        exchanger.add(target)
        await npm.do("open", name="ours", key=log.key.hex())
        await npm.do("open", name="theirs", seed="02" * 32)
        await npm.do("open", name="unknown", seed="03" * 32)
        await npm.do("append", name="theirs", start=0, count=70, size=100)
        await npm.do("connect", port=port)
        await until(exchanger, lambda: taking.length == 70 and target.is_whole)
        await npm.do("wait", name="ours", length=60)
        await npm.do("download", name="ours", start=0, end=60)
        assert (await npm.do("hash", name="ours", start=0, end=60))["hash"] == hash_of(blocks)
        assert (await npm.do("bytes"))["trouble"] == [None]
    assert [taking.get_verified(number) for number in range(70)] == [made_block(n, 100) for n in range(70)]
    taking.close()
