"""The logs of a drive go to npm, which verifies every block."""

from pathlib import Path
from random import Random

import trio

from hyperfs.log.log import Log
from hyperfs.replication.own_log import OwnLog
from hyperfs.replication.replicating import Replicating
from hyperfs.volume.creating import create_store
from tests.volume.conftest import DRIVE, Store, make_folder, unlink, write_file

from .npm_peer import hash_of, npm_peer
from .test_session_npm import serving


async def test_npm_has_every_block_of_a_drive(tmp_path: Path) -> None:
    source = Random(7)
    store = Store(tmp_path / "store")
    # In a thread, since it has an event loop of its own.
    await trio.to_thread.run_sync(create_store, store.path, DRIVE, b"no key file is read here", store.options())
    async with store.opened() as volume:
        make_folder(volume, b"/folder")
        for number in range(60):
            await write_file(volume, b"/folder/%d" % number, source.randbytes(source.choice([10, 5000, 300_000])))
            if number % 20 == 19:
                store.clock.forward(60)
                await volume.commit()
        for number in range(0, 60, 3):
            unlink(volume, b"/folder/%d" % number)
        await volume.commit()
    volume = store.open(read_only=True)
    try:
        for log in volume.parts.logs.values():
            await npm_takes(tmp_path, log)
    finally:
        volume.parts.close()


async def npm_takes(tmp_path: Path, log: Log) -> None:
    folder = tmp_path / f"npm {log.number}"
    async with serving(Replicating(OwnLog(log), log.manifest)) as (_, port), npm_peer(folder) as npm:
        await npm.do("open", name="core", key=log.key.hex())
        await npm.do("connect", port=port)
        await npm.do("wait", name="core", length=log.length)
        found = await npm.do("download", name="core", start=0, end=log.length)
        assert found["treeHash"] == log.head().tree_hash.hex()
        blocks = [log.get_verified(number) for number in range(log.length)]
        assert (await npm.do("hash", name="core", start=0, end=log.length))["hash"] == hash_of(blocks)
        assert sum(map(len, blocks)) == found["byteLength"] > 1000
