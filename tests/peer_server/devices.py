"""Devices that talk to a cloud peer over TCP: the drive's side, made of the wire's own parts."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self

import trio

from hyperfs.crypto.keys import BoxKeyPair
from hyperfs.log.merkle import hash32
from hyperfs.log.receipt import Receipt, check
from hyperfs.replication import invitation
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.curve import CurveKeyPair
from hyperfs.replication.one_session import Session
from hyperfs.replication.replicating import Replicating
from hyperfs.replication.session import Exchanger, open_exchanger
from tests.peer.conftest import Owner
from tests.replication.sides import serves

PATIENCE_SECONDS = 120


def transport(name: str) -> CurveKeyPair:
    """Of the device that tests/peer/conftest.py's `device` makes for this name."""
    return CurveKeyPair(BoxKeyPair(hash32(b"box transport " + name.encode())).secret())


class Device:
    """One that has an owner's logs and a connection to a peer."""

    def __init__(self, owner: Owner, exchanger: Exchanger, session: Session, address: Address) -> None:
        self.owner = owner
        self.exchanger = exchanger
        self.session = session
        self.address = address
        self.client = PeerClient(session)
        self.logs: dict[int, Replicating] = {}

    async def pair(self, code: str) -> Self:
        await self.client.pair(invitation.parse(code), self.owner.id)
        return self

    async def offer(self) -> Self:
        await self.client.offer(self.owner.id, self.owner.chain.records)
        return self

    def send(self, *numbers: int) -> Self:
        """Serve these logs, or all, to the peer from now on."""
        for number in numbers or tuple(self.owner.logs):
            self.logs[number] = serves(self.owner.logs[number])
            self.exchanger.add(self.logs[number])
        self.exchanger.offer(self.session)
        return self

    def append(self, number: int, count: int) -> None:
        log = self.owner.logs[number]
        start = log.length
        self.owner.append(number, count)
        self.logs[number].appended(start, start + count)
        self.exchanger.touch(self.logs[number])

    async def receipt(self, number: int) -> Receipt:
        """Checked, as a device does it."""
        challenge, log = os.urandom(32), self.owner.discovery_key(number)
        data = await self.client.receipt(self.owner.id, log, challenge)
        return check(data, self.address.key, self.owner.id, log, challenge, now_ns=_now(data))

    async def until_held(self, number: int) -> Receipt:
        """A receipt for all of a log: asked for as long as it takes."""
        log = self.owner.logs[number]
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                if any(head.log == self.owner.discovery_key(number) for head in await self.client.heads(self.owner.id)):
                    receipt = await self.receipt(number)
                    if receipt.length == log.signed_length and receipt.covers(0, log.signed_length):
                        return receipt
                await trio.sleep(0.01)


def _now(receipt: bytes) -> int:
    from hyperfs.log import receipt as codec

    return codec.decode(receipt).receipt.issued_ns


@asynccontextmanager
async def connected(owner: Owner, address: Address, name: str = "") -> AsyncIterator[Device]:
    """`name`: of the device; the owner's laptop without."""
    async with open_exchanger(transport(name or f"{owner.name} laptop")) as exchanger:
        with trio.fail_after(PATIENCE_SECONDS):
            stream = await trio.open_tcp_stream(*address.endpoint)
            session = await exchanger.connect(stream, address.key)
        yield Device(owner, exchanger, session, address)


async def until(exchanger: Exchanger, condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():
            await exchanger.changed.wait()
