"""A cloud peer over TCP: pairing, logs, receipts, and what reaches whom when something changes."""

import os
from pathlib import Path

import pytest
import trio

from hyperfs.errors import Misbehaved, NotHeld, Refused, Unreachable
from hyperfs.log.replica import Replica
from hyperfs.peer.facts import health
from hyperfs.replication.address import Address
from hyperfs.replication.dialogue_bodies import Found, audit_digest
from hyperfs.replication.dialogue_codec import Notice, Notified
from hyperfs.replication.replicating import Replicating
from hyperfs.store.files import Disk
from tests.peer.conftest import CONTENT, DAY, METADATA, NOW, Owner, key

from .conftest import Serving
from .devices import PATIENCE_SECONDS, Device, connected, until


def replica(folder: Path, owner: Owner, number: int) -> Replicating:
    folder.mkdir()
    taking = Replica(Disk(folder), "log", owner.signer(number).public_key, 0)
    return Replicating(taking, taking.manifest, taking)


async def test_a_drive_is_paired_held_and_attested_and_goes_on_live(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        for number in (METADATA, CONTENT):
            receipt = await device.until_held(number)
            assert receipt.tree_hash == owner.logs[number].head().tree_hash
        device.append(CONTENT, 30)
        assert (await device.until_held(CONTENT)).length == 80
        space = await device.client.space(owner.id)
        assert space.used_bytes > owner.logs[CONTENT].head().byte_length
    assert [event.what for event in served.said if event.level != "info"] == []
    assert len(served.heard("paired")) == 1


async def test_what_was_held_is_held_when_it_is_served_again(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
    async with serving() as served, connected(owner, served.address) as device:
        assert (await device.receipt(CONTENT)).ranges == ((0, 50),)
        challenge = os.urandom(32)
        found = await device.client.audit(owner.id, owner.discovery_key(CONTENT), 0, challenge, [7, 49, 50])
        assert found == (
            (Found.HERE, audit_digest(challenge, 7, owner.logs[CONTENT].get(7))),
            (Found.HERE, audit_digest(challenge, 49, owner.logs[CONTENT].get(49))),
            (Found.MISSING, b""),
        )


async def test_the_root_gets_a_drive_back_from_the_peer_alone(
    serving: Serving, owner: Owner, tmp_path: Path
) -> None:
    async with serving(only_listed=True) as served:
        async with connected(owner, served.address) as device:
            (await (await device.pair(served.code())).offer()).send()
            await device.until_held(CONTENT)
        async with connected(owner, served.address, "a bare machine") as bare:
            log = replica(tmp_path / "early", owner, CONTENT)
            bare.exchanger.add(log)
            bare.exchanger.offer(bare.session)
            with pytest.raises(NotHeld, match="not for you"):
                await bare.client.heads(owner.id)
            assert await bare.client.drives(owner.root) == (owner.id,)
            total, records = await bare.client.chain(owner.id)
            assert (total, records) == (1, owner.chain.records[0].encode())
            assert {head.length for head in await bare.client.heads(owner.id)} == {20, 50}
            assert not log.exchanges
            bare.exchanger.offer(bare.session)
            await until(bare.exchanger, lambda: log.held.head() is not None and log.is_whole)
            assert list(log.held.ranges()) == [(0, 50)]


async def test_strangers_and_the_wrong_root_get_nothing_and_are_hung_up_on(
    serving: Serving, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        monkeypatch.setattr("hyperfs.replication.one_session.HANDSHAKE_SECONDS", 2.0)
        async with connected(owner, served.address, "a stranger") as stranger:
            assert await stranger.client.drives(key("another root")) == ()
            with pytest.raises(NotHeld):
                await stranger.client.chain(owner.id)
            with trio.fail_after(PATIENCE_SECONDS):
                await stranger.session.ended.wait()
        await device.client.space(owner.id)  # it is still served


async def test_attack_m08_a_peer_with_another_key_is_not_talked_to(serving: Serving, owner: Owner) -> None:
    async with serving() as served:
        wrong = Address(key("somebody").public_key, served.address.endpoint)
        words = pytest.RaisesExc(Misbehaved, match="another than was expected")
        with pytest.RaisesGroup(words, flatten_subgroups=True):
            async with connected(owner, wrong):
                pass


async def test_a_chain_that_grows_is_told_to_the_other_devices(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        async with connected(owner, served.address) as other:
            other.send(CONTENT)
            await until(other.exchanger, lambda: bool(other.logs[CONTENT].exchanges))
            heard: list[Notified] = []
            other.exchanger._hear = lambda session, event: heard.append(event)
            owner.clear(CONTENT, (0, 5))
            await device.offer()
            await until(other.exchanger, lambda: bool(heard))
            assert heard == [Notified(Notice.CHAIN, owner.id + b"\3")]


async def test_a_clear_that_is_carried_out_is_told_and_the_blocks_are_not_asked_for_again(
    serving: Serving, owner: Owner
) -> None:
    now = [NOW]
    async with serving(now_ns=lambda: now[0]) as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        owner.clear(CONTENT, (10, 20))
        await device.offer()
        (exchange,) = device.logs[CONTENT].exchanges
        for day in range(32):
            now[0] = NOW + day * DAY
            await served.server.sweep()
        receipt = await device.receipt(CONTENT)
        assert receipt.ranges == ((0, 10), (20, 50))
        with trio.fail_after(PATIENCE_SECONDS):
            while exchange.remote_has.next_set(10, 20) < 20:
                await device.exchanger.changed.wait()
        assert not device.session.ended.is_set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert (await device.receipt(CONTENT)).ranges == ((0, 10), (20, 50))


async def test_what_does_not_fit_is_told_before_the_connection_ends(serving: Serving, owner: Owner) -> None:
    notices: list[object] = []
    async with serving() as served, connected(owner, served.address) as device:
        device.exchanger._hear = lambda session, event: notices.append(event)
        await (await device.pair(served.code(quota_bytes=100))).offer()
        device.send(CONTENT)
        with trio.fail_after(PATIENCE_SECONDS):
            await device.session.ended.wait()
        (notice,) = notices
        assert notice.body[:32] == owner.discovery_key(CONTENT)
        assert b"Raise its quota here" in notice.body


async def test_a_block_that_the_disk_has_lost_is_found_and_comes_again(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        (blocks,) = served.path.glob(f"drives/*/logs/{owner.discovery_key(CONTENT).hex()}/0/blocks")
        with open(blocks, "r+b") as file:
            file.seek(10)
            byte = file.read(1)
            file.seek(10)
            file.write(bytes([byte[0] ^ 1]))
        found = await device.client.audit(owner.id, owner.discovery_key(CONTENT), 0, bytes(32), range(20))
        assert [what for what, _ in found].count(Found.DAMAGED) == 1
        assert (await device.until_held(CONTENT)).ranges == ((0, 50),)
        found = await device.client.audit(owner.id, owner.discovery_key(CONTENT), 0, bytes(32), range(20))
        assert {what for what, _ in found} == {Found.HERE}
    assert len(served.heard("damaged blocks")) == 1


async def test_a_device_that_is_revoked_loses_what_only_devices_may_have(serving: Serving, owner: Owner) -> None:
    async with serving(only_listed=True) as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        async with connected(owner, served.address, "the root's machine") as root:
            await root.client.drives(owner.root)
            owner.revoke()
            await root.offer()
            with trio.fail_after(PATIENCE_SECONDS):
                await device.session.ended.wait()
            with pytest.raises(Unreachable):
                await device.client.space(owner.id)


async def test_it_drains_what_came_is_durable_and_all_are_told(serving: Serving, owner: Owner) -> None:
    notices: list[object] = []
    async with serving() as served, connected(owner, served.address) as device:
        device.exchanger._hear = lambda session, event: notices.append(event)
        (await (await device.pair(served.code())).offer()).send()
        await device.until_held(CONTENT)
        with trio.fail_after(PATIENCE_SECONDS):
            await served.server.drain()
            await device.session.ended.wait()
        assert [notice.body for notice in notices] == [b"this peer is being stopped: come again later"]
        assert served.server.exchanger.sessions == ()


async def test_logs_that_nobody_exchanges_are_closed_after_a_while(
    serving: Serving, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperfs.peer_server.serving.LOOK_SECONDS", 0.05)
    async with serving() as served:
        async with connected(owner, served.address) as device:
            (await (await device.pair(served.code())).offer()).send()
            await device.until_held(CONTENT)
            assert len(served.server._lendings) == 2
        with trio.fail_after(PATIENCE_SECONDS):
            while served.server._lendings:
                await trio.sleep(0.05)
        async with connected(owner, served.address) as device:
            device.send()
            device.append(CONTENT, 3)
            assert (await device.until_held(CONTENT)).length == 53


async def test_an_invite_is_good_for_one_drive_over_the_wire(serving: Serving, owner: Owner, tmp_path: Path) -> None:
    other = Owner(tmp_path / "other", "other")
    async with serving() as served:
        code = served.code()
        async with connected(owner, served.address) as device:
            await device.pair(code)
            await (await device.pair(code)).offer()  # the first answer may have been lost
        async with connected(other, served.address) as device:
            with pytest.raises(Refused, match="the peer says: this code is not good here"):
                await device.pair(code)
    other.close()
    assert isinstance(device, Device)


async def test_many_drives_are_held_at_a_time_each_by_itself(serving: Serving, tmp_path: Path) -> None:
    owners = [Owner(tmp_path / f"owner{number}", f"drive {number}") for number in range(4)]
    async with serving() as served:

        async def keep(owner: Owner) -> None:
            owner.append(METADATA, 60)
            owner.append(CONTENT, 200)
            async with connected(owner, served.address) as device:
                (await (await device.pair(served.code())).offer()).send()
                device.append(CONTENT, 20)
                assert (await device.until_held(CONTENT)).ranges == ((0, 220),)
                await device.until_held(METADATA)
                for other in owners:
                    if other is not owner:
                        with pytest.raises(NotHeld):
                            await device.client.heads(other.id)

        with trio.fail_after(PATIENCE_SECONDS):
            async with trio.open_nursery() as nursery:
                for owner in owners:
                    nursery.start_soon(keep, owner)
        assert set(served.peer.drives) == {owner.id for owner in owners}
    for owner in owners:
        owner.close()


async def test_a_drive_whose_records_are_damaged_does_not_stop_the_others(
    serving: Serving, owner: Owner, tmp_path: Path
) -> None:
    other = Owner(tmp_path / "other", "other")
    async with serving() as served:
        for found in (owner, other):
            async with connected(found, served.address) as device:
                await (await device.pair(served.code())).offer()
    (control,) = served.path.glob(f"drives/{other.id.hex()}/records/control")
    control.write_bytes(control.read_bytes()[:-1] + b"x")
    async with serving() as served:
        facts = await served.server.look()
        assert not health(facts).is_serving
        assert "can't be served" in health(facts).problems[0]
        async with connected(other, served.address) as device:
            with pytest.raises(NotHeld):
                await device.client.space(other.id)
            with pytest.raises(Refused, match="is here and can't be served"):
                await device.pair(served.code())
        async with connected(owner, served.address) as device:
            device.send()
            await device.until_held(CONTENT)
    other.close()
