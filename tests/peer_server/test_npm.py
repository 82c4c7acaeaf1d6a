"""npm takes a log from a cloud peer that serves: who knows the key of a log may, unless the peer says otherwise."""

from pathlib import Path

import pytest

from tests.peer.conftest import CONTENT, Owner
from tests.replication.npm_peer import hash_of, npm_peer

from .conftest import Serving
from .devices import connected, until


async def test_npm_takes_what_a_device_has_brought_and_what_it_brings_then(
    serving: Serving, owner: Owner, tmp_path: Path
) -> None:
    log = owner.logs[CONTENT]
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        async with npm_peer(tmp_path / "npm") as npm:
            await npm.do("open", name="core", key=log.key.hex())
            await npm.do("connect", port=served.address.endpoint.port)
            await npm.do("wait", name="core", length=50)
            device.append(CONTENT, 30)
            await npm.do("wait", name="core", length=80)
            found = await npm.do("download", name="core", start=0, end=80)
            assert found["treeHash"] == log.head().tree_hash.hex()
            blocks = [log.get(number) for number in range(80)]
            assert (await npm.do("hash", name="core", start=0, end=80))["hash"] == hash_of(blocks)


async def test_npm_gets_nothing_where_only_devices_may(
    serving: Serving, owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(only_listed=True) as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        monkeypatch.setattr("hyperfs.replication.one_session.HANDSHAKE_SECONDS", 1)
        async with npm_peer(tmp_path / "npm") as npm:
            await npm.do("open", name="core", key=owner.logs[CONTENT].key.hex())
            exchanger = served.server.exchanger
            before = exchanger.traffic.sent_bytes
            await npm.do("connect", port=served.address.endpoint.port)
            await until(exchanger, lambda: exchanger.traffic.sent_bytes > before)  # its handshake is answered
            await until(exchanger, lambda: len(exchanger.sessions) == 1)
            assert exchanger.traffic.sent_bytes - before < 1000
        assert (await device.receipt(CONTENT)).length == 50
