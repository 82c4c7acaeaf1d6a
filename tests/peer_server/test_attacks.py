"""Attacks on a cloud peer that serves, and by one, over TCP: each tries it and sees it fail."""

import os
import random
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio

from hyperfs.errors import HyperfsError, NotHeld, Refused, Unreachable
from hyperfs.log import receipt as receipts
from hyperfs.log.log import Log
from hyperfs.peer.facts import health
from hyperfs.replication import invitation
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_bodies import Outcome
from hyperfs.replication.half_open import MOST_HALF_OPEN
from hyperfs.store.files import Disk
from tests.peer.conftest import CONTENT, METADATA, NOW, Owner, key
from tests.replication.sides import serves

from .between import line_to, untouched
from .conftest import Served, Serving
from .devices import PATIENCE_SECONDS, Device, connected

LOW_ORDER = [
    bytes(32),
    (1).to_bytes(32, "little"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    b"\xff" * 32,
]


@asynccontextmanager
async def held(serving: Serving, owner: Owner, only_listed: bool = False) -> AsyncIterator[tuple[Served, Device]]:
    """A drive that is paired, and held whole."""
    async with serving(only_listed=only_listed) as served, connected(owner, served.address) as device:
        (await (await device.pair(served.code())).offer()).send()
        for number in (METADATA, CONTENT):
            await device.until_held(number)
        yield served, device


async def told(address: Address, *pieces: bytes) -> bytes:
    """What is said to one who says this, before it is hung up on."""
    said = b""
    async with await trio.open_tcp_stream(*address.endpoint) as stream:
        with trio.fail_after(PATIENCE_SECONDS), suppress(trio.BrokenResourceError):
            for piece in pieces:
                await stream.send_all(piece)
            while piece := await stream.receive_some(1 << 16):
                said += piece
    return said


async def until_cut(device: Device) -> None:
    """Asks again and again, many at a time, until the connection ends."""

    async def ask() -> None:
        while True:
            await device.client.space(device.owner.id)

    async def try_to_ask() -> None:
        with pytest.raises(Unreachable, match="the connection has ended"):
            await ask()

    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(try_to_ask)


async def test_attack_m04_another_history_of_a_log_is_refused_kept_as_evidence_and_told(
    serving: Serving, owner: Owner, tmp_path: Path
) -> None:
    """A disk image of the device, put back and written to: the same key signs other blocks in the same places."""
    async with held(serving, owner) as (served, honest):
        image = Log.create(Disk(tmp_path), "image", owner.signer(CONTENT), CONTENT)
        image.append([b"another past %d" % number for number in range(80)])
        image.flush()
        other = serves(image)
        async with connected(owner, served.address) as device:
            device.exchanger.add(other)
            device.exchanger.offer(device.session)
            with trio.fail_after(PATIENCE_SECONDS):
                await device.session.ended.wait()
                while not served.heard("contradiction"):
                    await trio.sleep(0.01)
        (event,) = served.heard("contradiction")
        assert "its key has signed two histories" in str(event.about["what"])
        assert "restored from an old image, or its key is stolen" in str(event.about["what"])
        found = health(await served.server.look())
        assert found.is_serving
        assert len(found.problems) == 1
        honest.append(CONTENT, 5)
        assert (await honest.until_held(CONTENT)).ranges == ((0, 55),)
        image.close()


async def test_attack_m05_a_peer_that_shows_an_old_state_can_not_pass_it_off_as_the_present(
    serving: Serving, owner: Owner, tmp_path: Path
) -> None:
    """Its folder is put back as it was: all in it is signed and valid."""
    old = tmp_path / "old"
    async with held(serving, owner) as (served, device):
        known = await device.receipt(CONTENT)
        shutil.copytree(served.path, old)
        device.append(CONTENT, 30)
        newer = await device.until_held(CONTENT)
        assert (known.length, newer.length) == (50, 80)
        old_word = await device.client.receipt(owner.id, owner.discovery_key(CONTENT), b"\x01" * 32)
        owner.clear(CONTENT, (0, 5))
        await device.offer()
    shutil.rmtree(tmp_path / "peer")
    shutil.copytree(old, tmp_path / "peer")
    async with serving() as served, connected(owner, served.address) as device:
        # Asked anew it can only sign what it has, and a word that it gave before answers another question.
        assert (await device.receipt(CONTENT)).length == 50
        with pytest.raises(Refused, match="an old one, played again"):
            receipts.check(
                old_word, served.address.key, owner.id, owner.discovery_key(CONTENT), os.urandom(32), NOW
            )
        assert (await device.client.chain(owner.id, len(owner.chain.records)))[0] == 1
        # It is brought up to date by the next who comes.
        assert (await device.client.offer(owner.id, owner.chain.records)).outcome == Outcome.NEWER
        device.send()
        assert (await device.until_held(METADATA)).length == 20
        with trio.fail_after(PATIENCE_SECONDS):
            while (await device.receipt(CONTENT)).length < 80:
                await trio.sleep(0.01)


async def test_attack_m08_a_code_names_the_peer_so_another_in_its_place_gets_nothing(
    serving: Serving, owner: Owner
) -> None:
    """Another machine answers at the address that stands in the code."""
    async with serving() as served:
        meant = invitation.parse(served.code())
        elsewhere = meant.address._replace(key=key("the peer that was meant").public_key)
        words = pytest.RaisesExc(HyperfsError, match="another than was expected answers there: its key is")
        with pytest.RaisesGroup(words, flatten_subgroups=True):
            async with connected(owner, elsewhere) as device:
                await device.client.pair(meant, owner.id)
        assert served.heard("paired") == served.heard("pairing refused") == []


@pytest.mark.parametrize("way", ["up", "down"])
async def test_attack_n01_who_changes_a_bit_of_a_line_only_cuts_it(serving: Serving, owner: Owner, way: str) -> None:
    rng = random.Random(way)

    def change(number: int, frame: bytes) -> list[bytes]:
        if number < 6:
            return [frame]
        place = rng.randrange(3, len(frame))
        return [frame[:place] + bytes([frame[place] ^ 1 << rng.randrange(8)]) + frame[place + 1 :]]

    async with held(serving, owner) as (served, honest):
        up, down = (change, untouched) if way == "up" else (untouched, change)
        async with line_to(served.address, up, down) as (address, _), connected(owner, address) as device:
            await until_cut(device)
        assert (await honest.receipt(CONTENT)).length == 50
        assert [event.level for event in served.said if event.level != "info"] == []


async def test_attack_n01_who_listens_learns_no_name_and_no_proof(serving: Serving, owner: Owner) -> None:
    async with serving() as served, line_to(served.address) as (address, line):
        code = served.code()
        async with connected(owner, address) as device:
            await (await device.pair(code)).offer()
            device.send()
            await device.until_held(CONTENT)
            shown = invitation.parse(code)
            proof = invitation.proof(
                invitation.verifier(shown.id, shown.secret), device.session.handshake_hash, owner.id
            )
        went = b"".join(line.went["up"] + line.went["down"])
        log = owner.logs[CONTENT]
        keys = served.address.key, owner.laptop.transport_key, log.key, owner.discovery_key(CONTENT)
        for secret in (shown.secret, shown.id, proof, owner.id, *keys, log.get(3), b"laptop"):
            assert secret not in went


async def test_attack_n02_what_a_device_said_does_nothing_when_it_is_said_again(
    serving: Serving, owner: Owner
) -> None:
    async with serving() as served, line_to(served.address) as (address, line):
        code = served.code()
        async with connected(owner, address) as device:
            await (await device.pair(code)).offer()
        before = dict(served.peer.drives)
        await told(served.address, *line.went["up"])
        assert len(served.heard("paired")) == 1
        assert served.peer.drives == before
        # Back to the device that said it: it hears itself, and hangs up.
        async with line_to(served.address, down=lambda number, frame: [line.went["up"][0]]) as (mirror, _):
            with pytest.RaisesGroup(HyperfsError, flatten_subgroups=True):
                async with connected(owner, mirror):
                    pass


@pytest.mark.parametrize(
    "first",
    [b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9],
    ids=["HTTP", "TLS"],
)
async def test_attack_n02_another_protocol_is_hung_up_on(serving: Serving, first: bytes) -> None:
    async with serving() as served:
        assert await told(served.address, first) == b""


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
async def test_attack_n03_a_handshake_with_a_point_of_low_order_is_hung_up_on(serving: Serving, point: bytes) -> None:
    async with serving() as served:
        assert await told(served.address, b"\x20\0\0" + point) == b""
        assert served.server.exchanger.sessions == ()


def dropped(number: int, frame: bytes) -> list[bytes]:
    return [] if number == 8 else [frame]


def doubled(number: int, frame: bytes) -> list[bytes]:
    return [frame, frame] if number == 8 else [frame]


def cut(number: int, frame: bytes) -> list[bytes]:
    return [frame[:-4]] if number == 8 else [frame]


def exchanged() -> Callable[[int, bytes], list[bytes]]:
    kept: list[bytes] = []

    def tamper(number: int, frame: bytes) -> list[bytes]:
        if number == 8:
            kept.append(frame)
            return []
        return [frame, *kept] if number == 9 else [frame]

    return tamper


@pytest.mark.parametrize("tamper", [dropped, doubled, cut, exchanged()], ids=["dropped", "doubled", "cut", "exchanged"])
async def test_attack_n04_frames_that_are_not_as_they_were_sent_end_the_line_and_cost_nothing(
    serving: Serving, owner: Owner, tamper: Callable[[int, bytes], list[bytes]]
) -> None:
    async with held(serving, owner) as (served, honest):
        async with line_to(served.address, tamper) as (address, _), connected(owner, address) as device:
            await until_cut(device)
        honest.append(CONTENT, 5)
        assert (await honest.until_held(CONTENT)).length == 55


async def test_attack_n05_a_flood_of_half_open_connections_keeps_no_device_of_another_address_out(
    serving: Serving, owner: Owner
) -> None:
    async with held(serving, owner) as (served, _):
        streams = []
        for number in range(60):
            flood = trio.socket.socket()
            await flood.bind(("127.0.0.2", 0))
            await flood.connect(tuple(served.address.endpoint))
            streams.append(trio.SocketStream(flood))
            with trio.move_on_after(1):
                await streams[-1].send_all(b"\x20\0\0" + bytes([number]) * 20)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert served.server.exchanger.half_open <= MOST_HALF_OPEN
        async with connected(owner, served.address) as device:
            assert (await device.client.space(owner.id)).used_bytes > 0
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def test_attack_n05_a_flood_from_many_addresses_goes_oldest_first_and_a_device_gets_in(
    serving: Serving, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperfs.replication.half_open.MOST_HALF_OPEN_IN_ALL", 5)
    async with held(serving, owner) as (served, _):
        streams = []
        for number in range(2, 14):
            flood = trio.socket.socket()
            await flood.bind((f"127.0.0.{number}", 0))
            await flood.connect(tuple(served.address.endpoint))
            streams.append(trio.SocketStream(flood))
            await trio.testing.wait_all_tasks_blocked(0.005)
            assert served.server.exchanger.half_open <= 5
        async with connected(owner, served.address) as device:
            assert (await device.client.space(owner.id)).used_bytes > 0
            with trio.fail_after(PATIENCE_SECONDS):
                assert await streams[0].receive_some() == b""
        for stream in streams:
            await trio.aclose_forcefully(stream)


async def test_attack_n05_a_stranger_can_not_have_the_peer_keep_much_or_answer_much(
    serving: Serving, owner: Owner
) -> None:
    async with held(serving, owner) as (_served, device):
        async with connected(owner, device.address, "a stranger") as stranger:
            dialogue = stranger.session.dialogue
            assert dialogue is not None
            with pytest.raises(NotHeld):
                await stranger.client.space(owner.id)
            for number in range(17):  # one more than the credit, whatever our own side counts
                dialogue._asked.clear()
                dialogue.ask(8, owner.id + bytes(number))
            stranger.session.collect()
            with trio.fail_after(PATIENCE_SECONDS):
                await stranger.session.ended.wait()
        async with connected(owner, device.address, "a stranger") as stranger:
            with pytest.raises(Unreachable), trio.fail_after(PATIENCE_SECONDS):
                await stranger.session.ask(8, bytes(1 << 19))  # a frame that only who is known may send
        assert (await device.receipt(CONTENT)).length == 50


async def test_attack_n06_what_one_connection_has_shown_is_worth_nothing_on_another(
    serving: Serving, owner: Owner
) -> None:
    """A proof of the root, and one of an invite, heard by the peer's own operator say, are said again by another."""
    async with held(serving, owner, only_listed=True) as (served, _):
        async with connected(owner, served.address, "the root's machine") as root:
            assert await root.client.drives(owner.root) == (owner.id,)
            shown = root.session.handshake_hash
        async with connected(owner, served.address, "a thief") as thief:
            replayed = PeerClient(thief.session)
            thief.session.connection.handshake_hash = shown  # signs, so to speak, for the other connection
            with pytest.raises(Refused, match="not signed by that root, for this connection"):
                await replayed.drives(owner.root)
            code = served.code()
            with pytest.raises(Refused, match="not good here"):
                await replayed.pair(invitation.parse(code), b"\x09" * 32)
            with pytest.raises(NotHeld):
                await replayed.heads(owner.id)


async def test_attack_n08_one_guess_is_all_there_is(serving: Serving, owner: Owner) -> None:
    async with serving() as served, connected(owner, served.address) as device:
        code = served.code()
        meant = invitation.parse(code)
        guess = meant._replace(secret=bytes([meant.secret[0] ^ 1]) + meant.secret[1:])
        with pytest.raises(Refused, match=r"has expired, or was tried with a mistake\. Ask for a new one"):
            await device.client.pair(guess, owner.id)
        with pytest.raises(Refused, match="Ask for a new one"):
            await device.client.pair(meant, owner.id)
        assert served.peer.drives == {}
        assert [event.level for event in served.heard("pairing refused")] == ["warning", "warning"]
        # What is in the folder does not help with a guess either: 2^128 of them would have to be tried.
        assert not any(meant.secret in path.read_bytes() for path in served.path.rglob("*") if path.is_file())
