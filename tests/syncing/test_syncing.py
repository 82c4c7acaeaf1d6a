"""A drive keeps itself on peers: a real volume, and the product's cloud peer behind a socket."""

import random
import shutil
from pathlib import Path

import pytest
import trio

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import Corrupt, PlaceFull, ReadOnlyDrive, Refused, Unreachable
from hyperfs.log.control_codec import REVOKED, ROOT, Roster
from hyperfs.peer import dropping
from hyperfs.peer.blockstore import OWN
from hyperfs.peer.memory_store import MemoryStore
from hyperfs.policy.attributes import CLASS, PLACES
from hyperfs.replication.dialogue_bodies import Audited
from hyperfs.replication.dialogue_codec import Method
from hyperfs.syncing import peers as peers_module
from hyperfs.syncing import waiting as waiting_module
from hyperfs.syncing.settings import Known, Limits
from hyperfs.values import BlockRef
from hyperfs.volume.overlay import MAX_FILE_BYTES
from hyperfs.volume.prune import prune
from tests.volume.conftest import DRIVE, Store, inode_of, make_folder, unlink, write_file

from .conftest import SEED, Server, Side, running

MIB = 1 << 20


def everything(side: Side, number: int) -> set[int]:
    return set(range(side.volume.parts.logs[number].signed_length))


class TestBringing:
    async def test_what_is_committed_comes_to_the_peer_and_is_attested(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"file", MIB)
            await side.synced()
            server = side.servers["cloud"]
            for number in (side.log, side.metadata):
                assert server.held(side.volume, number) == everything(side, number)
            assert side.peers.proven(side.log, 0, side.length) == {"cloud"}
            [facts] = side.peers.facts()
            assert (facts["lag_blocks"], facts["lag_bytes"], facts["lag_seconds"]) == (0, 0, 0.0)
            assert (facts["connected"], facts["trouble"]) == (True, None)

    async def test_what_comes_later_follows_by_itself(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.synced()
            for number in range(3):
                await side.write(b"file %d" % number, 100_000, number)
            await side.until(lambda: side.peers.proven(side.log, 0, side.length) == {"cloud"})
            assert side.servers["cloud"].held(side.volume, side.log) == everything(side, side.log)

    async def test_several_peers_get_all_of_it(self, store: Store) -> None:
        async with running(store, "cloud", "attic") as side:
            await side.write(b"file", MIB)
            await side.synced()
            assert await side.peers.confirm(side.log, 0, side.length) == {"cloud", "attic"}

    async def test_it_goes_on_where_it_was_after_each_cut(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"file", 4 * MIB)
            await side.mover.turn()
            server = side.servers["cloud"]
            cuts = 0
            with trio.fail_after(60):
                while not side.peers.proven(side.log, 0, side.length):
                    await trio.sleep(0.03 + cuts * 0.01)
                    server.hang_up()
                    cuts += 1
            assert server.held(side.volume, side.log) == everything(side, side.log)

    async def test_a_peer_that_was_away_is_brought_up_to_date(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.synced()
            server = side.servers["cloud"]
            await server.stop()
            await side.write(b"file", MIB)
            await side.until(lambda: side.peer().trouble is not None)
            assert "it is tried again" in side.peers.facts()[0]["trouble"]
            assert side.peers.facts()[0]["lag_bytes"] > MIB
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve)
                await side.synced()
                assert side.peers.facts()[0]["trouble"] is None
                nursery.cancel_scope.cancel()

    async def test_a_clear_is_told_with_the_control_chain(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"file", MIB)
            unlink(side.volume, b"file")
            await side.volume.commit()
            await side.synced()
            await prune(side.volume, 1, False, lambda what, done, of: None)
            server = side.servers["cloud"]
            await side.until(lambda: server.drive(side.volume).chain == side.volume.parts.chain)
            assert side.volume.parts.chain.intents == {}
            await side.write(b"more", 1000)
            await side.synced()

    async def test_what_a_receipt_was_given_for_is_remembered_over_a_mount(self, store: Store) -> None:
        servers: dict[str, Server] = {}
        async with running(store, "cloud", servers=servers, memory_index=False) as side:
            await side.write(b"file", MIB)
            await side.synced()
            length = side.length
        await servers["cloud"].stop()
        async with store.opened(memory_index=False) as volume:
            from hyperfs.syncing.home import Home
            from hyperfs.syncing.peers import Peers

            again = Peers(Home(volume, store.clock))
            again.add(servers["cloud"].known)
            assert again.proven(volume.content.number, 0, length) == {"cloud"}
            again.remove("cloud")
            again.add(servers["cloud"].known)
            assert again.proven(volume.content.number, 0, length) == frozenset()


class TestPolicies:
    async def test_what_is_local_only_is_nowhere_on_the_peer(self, store: Store, tmp_path: Path) -> None:
        async with running(store, "cloud", folders=tmp_path) as side:
            make_folder(side.volume, b"diary")
            await side.set(b"diary", PLACES, b"local-only")
            await side.write(b"diary/today", 300_000, 1)
            private = range(side.length)
            await side.write(b"public", 300_000, 2)
            await side.synced()
            there = b"".join(path.read_bytes() for path in (tmp_path / "cloud").rglob("blocks"))
            log = side.volume.parts.logs[side.log]
            assert not any(log.get(block) in there for block in private)
            assert all(log.get(block) in there for block in range(private.stop, side.length))
            assert side.servers["cloud"].held(side.volume, side.log) == set(range(private.stop, side.length))
            assert side.peers.facts()[0]["lag_blocks"] == 0
            assert side.peers.facts()[0]["withheld_bytes"] > 300_000

    async def test_a_file_that_may_go_shares_no_block_with_one_that_may_not(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            make_folder(side.volume, b"diary")
            await side.set(b"diary", PLACES, b"local-only")
            for number in range(5):
                await write_file(side.volume, b"diary/%d" % number, b"private" * 700 + b"%d" % number)
                await write_file(side.volume, b"public%d" % number, b"public!" * 700 + b"%d" % number)
            await side.volume.commit()
            await side.synced()
            there = side.servers["cloud"].held(side.volume, side.log)
            for number in range(5):
                assert blocks_of(side, b"public%d" % number) <= there
                assert not blocks_of(side, b"diary/%d" % number) & there

    async def test_the_bytes_of_a_tiny_file_that_may_not_go_are_not_in_its_record(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            make_folder(side.volume, b"diary")
            await side.set(b"diary", PLACES, b"local-only")
            await write_file(side.volume, b"diary/pin", b"1234")
            await write_file(side.volume, b"hello", b"hello")
            await side.volume.commit()
            assert inode_of(side.volume, b"diary/pin").inline is None
            assert inode_of(side.volume, b"hello").inline == b"hello"
            await side.synced()
            assert blocks_of(side, b"diary/pin")
            assert not blocks_of(side, b"diary/pin") & side.servers["cloud"].held(side.volume, side.log)
            assert await side.read(b"diary/pin") == b"1234"

    async def test_a_peer_that_asks_for_it_all_the_same_gets_no_data(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            make_folder(side.volume, b"diary")
            await side.set(b"diary", PLACES, b"local-only")
            await side.write(b"diary/today", 300_000)
            await side.synced()
            link = side.peer().link
            assert link is not None
            shown = link.feeding.logs[side.log]
            assert side.length > 0
            assert not any(shown.offered.has(block) for block in range(side.length))

    async def test_places_name_the_peers_that_may_have_it(self, store: Store) -> None:
        async with running(store, "cloud", "attic") as side:
            make_folder(side.volume, b"films")
            await side.set(b"films", PLACES, b"attic")
            await side.write(b"films/one", 300_000)
            await side.synced()
            assert side.peers.proven(side.log, 0, side.length) == {"attic"}
            assert side.servers["cloud"].held(side.volume, side.log) == set()

    async def test_nothing_goes_after_a_change_of_policies_before_it_was_looked_at(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"first", 100_000)
            await side.synced()
            before = side.length
            make_folder(side.volume, b"diary")
            side.volume.xattrs.set(side.volume.overlay.inode(_ino(side, b"diary")), PLACES, b"local-only")
            await side.write(b"diary/today", 300_000, 2)
            await side.write(b"public", 300_000, 3)
            link = side.peer().link
            assert link is not None
            await side.until(lambda: not link.feeding.logs[side.log].offered.may_go)
            assert side.servers["cloud"].held(side.volume, side.log) == set(range(before))
            await side.synced()
            held = side.servers["cloud"].held(side.volume, side.log)
            assert held > set(range(before))
            assert held < everything(side, side.log)

    async def test_metered_networks_carry_metadata_only(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            side.peers.set_limits(Limits(metered="yes"))
            await side.write(b"file", MIB)
            await side.until(lambda: side.peers.proven(side.metadata, 0, 1) == {"cloud"})
            await trio.sleep(0.1)
            assert side.servers["cloud"].held(side.volume, side.log) == set()
            assert side.peers.facts()[0]["metered"]
            await side.synced()  # somebody waits: whatever it costs
            assert side.servers["cloud"].held(side.volume, side.log) == everything(side, side.log)


class TestFetching:
    async def test_what_left_for_the_peer_comes_back_block_by_block(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.leave(b"film", 3 * MIB)
            assert await side.read(b"film") == random.Random(SEED).randbytes(3 * MIB)

    async def test_where_nothing_syncs_a_connection_waits_for_who_wants_a_block_and_is_made_for_who_does(
        self, store: Store
    ) -> None:
        servers: dict[str, Server] = {}
        async with running(store, "cloud", servers=servers, memory_index=False) as side:
            await side.leave(b"film", MIB)
        await servers["cloud"].stop()
        async with running(store, "cloud", servers=servers, background=False, memory_index=False) as side:
            await side.until(lambda: side.peer().is_connected)
            side.servers["cloud"].hang_up()
            await side.until(lambda: side.peer().attempts == 1)
            assert not side.peer().is_connected
            assert await side.read(b"film") == random.Random(SEED).randbytes(MIB)

    async def test_where_nothing_syncs_and_nothing_lacks_nobody_is_connected(self, store: Store) -> None:
        async with running(store, "cloud", background=False) as side:
            await side.write(b"film", MIB)
            await trio.sleep(0.1)
            assert (side.servers["cloud"].said, side.peer().attempts, side.peer().link) == ([], 0, None)

    async def test_a_peer_that_gives_other_bytes_is_named_and_the_next_one_asked(self, store: Store) -> None:
        async with running(store, "attic", "cloud") as side:
            await side.leave(b"film", MIB)
            side.servers["attic"].lie(side.volume, side.log)
            assert await side.read(b"film") == random.Random(SEED).randbytes(MIB)
            assert "other bytes" in side.volume.warnings["peer-attic"]
            assert side.peers.proven(side.log, 0, side.length) == {"cloud"}

    async def test_nobody_there_is_unreachable_with_the_peers_name(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(peers_module, "FETCH_SECONDS", 0.2)
        async with running(store, "cloud") as side:
            await side.leave(b"film", MIB)
            await side.servers["cloud"].stop()
            with pytest.raises(Unreachable, match="the peer cloud"):
                await side.peers.fetch([BlockRef(side.log, 0)])

    async def test_nothing_leaves_for_a_peer_that_does_not_answer(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"film", MIB)
            await side.synced()
            await side.servers["cloud"].stop()
            await side.until(lambda: not side.peer().is_connected)
            assert side.peers.proven(side.log, 0, side.length) == {"cloud"}
            assert await side.peers.confirm(side.log, 0, side.length) == frozenset()


class TestWhatIsWrong:
    async def test_attack_m10_a_receipt_for_what_was_dropped_is_found_by_the_audit(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"file", MIB)
            await side.synced()
            server = side.servers["cloud"]

            def spoil(method: int, body: bytes) -> bytes:
                if method != Method.AUDIT:
                    return body
                found = Audited.decode(body).blocks
                return Audited(tuple((kind, bytes(32)) for kind, _ in found)).encode()

            server.spoil = spoil
            assert await side.peers.confirm(side.log, 0, side.length) == frozenset()
            assert "can't be relied on" in side.volume.warnings["peer-cloud"] or "other bytes" in (
                side.volume.warnings["peer-cloud"]
            )
            assert side.peers.proven(side.log, 0, side.length) == frozenset()
            server.spoil = lambda method, body: body
            await side.synced()
            await side.until(lambda: "peer-cloud" not in side.volume.warnings)

    async def test_attack_m10_a_peer_that_has_lost_what_it_promised_is_named_and_gets_it_again(
        self, store: Store
    ) -> None:
        async with running(store, "cloud") as side:
            await side.write(b"file", MIB)
            await side.synced()
            server = side.servers["cloud"]
            server.drive(side.volume).lend(side.volume.parts.logs[side.log].discovery_key).forget(0)
            link = side.peer().link
            assert link is not None
            await link.attest(side.log)
            await side.until(lambda: "peer-cloud-lost" in side.volume.warnings)
            assert "has lost" in side.volume.warnings["peer-cloud-lost"]
            assert side.peers.proven(side.log, 0, 1) == frozenset()
            await server.stop()
            async with trio.open_nursery() as nursery:
                await nursery.start(server.serve)  # who begins anew asks for what is missing
                await side.synced()
                await side.until(lambda: "peer-cloud-lost" not in side.volume.warnings)
                nursery.cancel_scope.cancel()

    async def test_attack_m11_an_old_receipt_played_again_is_not_believed(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            server = side.servers["cloud"]
            old: dict[bytes, bytes] = {}

            def spoil(method: int, body: bytes) -> bytes:
                return old.setdefault(body[128:160], body) if method == Method.RECEIPT else body

            server.spoil = spoil
            await side.write(b"file", 1000)
            await side.until(lambda: bool(side.peers.proven(side.metadata, 0, 1)))
            await side.write(b"file", 2000, 2)
            with pytest.raises(Corrupt, match="played again"):
                await side.synced()
            assert side.peers.proven(side.metadata, 0, 1) == frozenset()

    async def test_attack_n01_another_machine_at_the_address_is_told_nothing(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            server = side.servers["cloud"]
            wrong = server.known.address._replace(key=SigningKeyPair(b"\x09" * 32).public_key)
            server.asked.clear()
            side.peers.add(Known("other", wrong, 0))
            with pytest.raises(Refused, match="another than was expected"):
                await side.peers.until_synced(["other"], _silent)
            assert "nothing was told to it" in side.volume.warnings["peer-other"]

    async def test_a_full_peer_is_told_loudly_and_goes_on_when_there_is_room(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.synced()
            drive = side.servers["cloud"].drive(side.volume)
            drive.set_quota(drive.used_bytes + 50_000)
            await side.write(b"file", MIB)
            with pytest.raises(PlaceFull, match="quota"):
                await side.synced()
            assert "make room there" in side.volume.warnings["peer-cloud"]
            drive.set_quota(None)
            await side.synced()
            await side.until(lambda: "peer-cloud" not in side.volume.warnings)

    async def test_attack_d02_a_device_restored_from_an_old_image_is_told_before_it_writes_more_there(
        self, store: Store, tmp_path: Path
    ) -> None:
        servers: dict[str, Server] = {}
        async with running(store, "cloud", servers=servers) as side:
            await side.write(b"file", 100_000)
            await side.synced()
        await servers["cloud"].stop()
        shutil.copytree(store.path, tmp_path / "image")
        async with running(store, "cloud", servers=servers) as side:
            await side.write(b"more", 100_000, 2)
            await side.synced()
        await servers["cloud"].stop()
        old = Store(tmp_path / "image", store.clock)
        async with running(old, "cloud", servers=servers) as side:
            with pytest.raises(Corrupt, match="older image"):
                await side.synced()
            assert "older image" in side.volume.warnings["peer-cloud"]
            assert side.peers.proven(side.log, 0, 1) == frozenset()

    async def test_a_block_that_is_damaged_here_is_told_and_the_rest_goes(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.synced()
            await side.servers["cloud"].stop()
            await side.write(b"file", MIB)
            log = side.volume.parts.logs[side.log]
            offset, _ = log.block_range(0)
            path = next(store.path.glob(f"logs/{log.discovery_key.hex()}/blocks"))
            with path.open("r+b") as file:
                file.seek(offset + 40)
                file.write(b"damage")
            async with trio.open_nursery() as nursery:
                await nursery.start(side.servers["cloud"].serve)
                await side.mover.turn()
                await side.until(lambda: "peer-cloud-damage" in side.volume.warnings)
                rest = set(range(1, side.length))
                await side.until(lambda: side.servers["cloud"].held(side.volume, side.log) == rest)
                assert "block 0 of log" in side.volume.warnings["peer-cloud-damage"]
                nursery.cancel_scope.cancel()

    async def test_who_waits_for_a_peer_that_can_not_be_reached_hears_why(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(waiting_module, "REACH_SECONDS", 0.1)
        async with running(store, "cloud", "gone") as side:
            await side.synced()
            await side.servers["gone"].stop()
            await side.write(b"file", 1000)
            with pytest.raises(Unreachable, match="the peer gone"):
                await side.synced()
            assert side.peers.proven(side.log, 0, side.length) == {"cloud"}

    async def test_a_peer_that_drops_the_drive_counts_for_nothing_at_once_and_what_only_it_had_is_named(
        self, store: Store
    ) -> None:
        async with running(store, "cloud", "other") as side:
            await side.leave(b"both", MIB)
            await side.write(b"only there", MIB, seed=2)
            await side.set(b"only there", PLACES, b"cloud")
            await side.set(b"only there", CLASS, b"cold")
            await side.synced()
            await side.mover.turn()
            warnings, server = side.volume.warnings, side.servers["cloud"]
            server.store.write(OWN, dropping.name_of(side.volume.drive_id), dropping.ASKED)
            await side.until(lambda: not any(side.peers.proven(number, 0, 1) & {"cloud"} for number in (1, 2)))
            await side.until(lambda: {"peer-cloud", "peer-cloud-gone"} <= set(warnings))
            assert "does not hold this drive" in warnings["peer-cloud"]
            assert "at no other place that has proved it: only there can't be read" in warnings["peer-cloud-gone"]
            assert server.peer.drives == {}
            assert [event.about["parts"] for event in server.said if event.what == "drive dropped"] == [0]
            side.volume.parts.chunkstore.cache.clear()
            assert len(await side.read(b"both")) == MIB
            with pytest.raises(Unreachable, match="hold"):
                await side.read(b"only there")

    async def test_a_drive_that_the_peer_does_not_hold_is_said_so(self, store: Store) -> None:
        server = Server("cloud", store.clock, MemoryStore())
        async with running(store, servers={}) as side, trio.open_nursery() as nursery:
            await nursery.start(server.serve)
            side.peers.add(server.known)
            with pytest.raises(Refused, match="hyperfs peer invite"):
                await side.peers.until_synced(["cloud"], _silent)
            nursery.cancel_scope.cancel()

    async def test_a_device_that_was_taken_out_writes_no_more(self, store: Store) -> None:
        async with running(store, "cloud") as side:
            await side.synced()
            drive = side.servers["cloud"].drive(side.volume)
            chain = side.volume.parts.chain
            devices = tuple(device._replace(state=REVOKED) for device in chain.devices.values())
            logs = tuple(chain.logs.values())
            out = Roster(chain.root_key, chain.recovery_key, devices, logs)
            revoked = chain.append(chain.make(out, DRIVE.root.signing(), ROOT))
            drive.offer_chain(revoked.encode())
            side.servers["cloud"].hang_up()
            await side.until(lambda: side.volume.journaling.read_only_because is not None)
            with pytest.raises(ReadOnlyDrive, match="declared lost"):
                side.volume.check_writable()
            assert (store.path / "control").read_bytes() == revoked.encode()


def blocks_of(side: Side, path: bytes) -> set[int]:
    extents = side.volume.overlay.extents(inode_of(side.volume, path), 0, MAX_FILE_BYTES)
    return {at.block for extent in extents for at in (extent.place, *extent.bases)}


def _ino(side: Side, path: bytes) -> int:
    return inode_of(side.volume, path).ino


async def _silent(what: str, done: int, of: int) -> None:
    await trio.lowlevel.checkpoint()
