"""A new device of a drive, admitted by the root: what its control chain says from then on. Pure but for randomness.

    roster    the new device with its pair of logs; a device that is given up is revoked in the same record, and its
              logs are closed at the last heads that were seen of them
    epochs    a further copy of each, sealed to the new device
    epoch     where somebody was revoked: a new one, sealed to those who stay, so that he reads nothing of what comes
"""

import os
from collections.abc import Mapping

from hyperfs.crypto.keys import LOG_CONTENT, LOG_METADATA, DeviceKeys, EpochKeys, RootSeed
from hyperfs.errors import BadRecoveryKey, Corrupt
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import ACTIVE, CLOSED, OPEN, REVOKED, Device, Epoch, LogEntry, Roster, SealedCopy
from hyperfs.log.heads import Head


def check_root(chain: Chain, root: RootSeed) -> None:
    """Raises BadRecoveryKey unless the seed is this drive's root."""
    if root.signing().public_key != chain.root_key:
        raise BadRecoveryKey("this is a recovery key, but another drive's: look for the card of this one")


def enrol(
    chain: Chain,
    root: RootSeed,
    keys: DeviceKeys,
    name: str,
    last_heads: Mapping[int, Head] | None = None,
    revokes: bool = True,
) -> Chain:
    """The chain with a new device, a pair of logs of its own, and every epoch's keys sealed to it.

    `last_heads`: those of all open logs of the devices whose place it takes, by the logs' numbers. `revokes`: these
    devices are given up for lost, else only their logs are closed.
    """
    number, log = max(chain.devices) + 1, max(chain.logs) + 1
    device = Device(
        number,
        name.encode()[:255],
        keys.signing().public_key,
        keys.box().public_key,
        keys.transport().public_key,
    )
    logs = [
        LogEntry(log, number, LOG_METADATA, keys.log_signer(LOG_METADATA, 0).public_key),
        LogEntry(log + 1, number, LOG_CONTENT, keys.log_signer(LOG_CONTENT, 0).public_key),
    ]
    before, closed = _given_up(chain, last_heads or {}, revokes)
    roster = Roster(chain.root_key, chain.recovery_key, (*before, device), (*closed, *logs))
    signer = root.signing()
    chain = chain.append(chain.make(roster, signer))
    for epoch in list(chain.epochs.values()):
        copy = SealedCopy(*epoch_keys(chain, root, epoch).sealed_copies([(device.box_key, os.urandom(32))])[0])
        chain = chain.append(chain.make(epoch._replace(copies=(copy,)), signer))
    return chain.append(chain.make(_next_epoch(chain, root), signer)) if last_heads and revokes else chain


def epoch_keys(chain: Chain, root: RootSeed, epoch: Epoch) -> EpochKeys:
    """What the epoch's record sealed to the recovery key."""
    box = root.recovery_box()
    sealed = chain.sealed_copies(box.public_key).get(epoch.number)
    if sealed is None:
        raise Corrupt("an epoch is not sealed to the recovery key", f"epoch {epoch.number}")
    keys = EpochKeys.from_payload(epoch.number, box.open(sealed))
    if keys.key_id != epoch.key_id:
        raise Corrupt("an epoch's sealed key is not the one that its record names", f"epoch {epoch.number}")
    return keys


def _given_up(
    chain: Chain, last_heads: Mapping[int, Head], revokes: bool
) -> tuple[list[Device], list[LogEntry]]:
    gone = {chain.logs[number].device for number in last_heads} if revokes else set()
    devices = [found._replace(state=REVOKED) if found.number in gone else found for found in chain.devices.values()]
    logs = []
    for entry in chain.logs.values():
        head = last_heads.get(entry.number)
        if head is not None and entry.state == OPEN:
            entry = entry._replace(state=CLOSED, fork=head.fork, length=head.length, tree_hash=head.tree_hash)
        logs.append(entry)
    return devices, logs


def _next_epoch(chain: Chain, root: RootSeed) -> Epoch:
    last = chain.newest_epoch()
    if last is None:
        raise Corrupt("the drive has no epoch", "file control")
    keys = EpochKeys(last.number + 1, os.urandom(32), epoch_keys(chain, root, last).drive_key)
    active = [device.box_key for device in chain.devices.values() if device.state == ACTIVE]
    copies = keys.sealed_copies([(key, os.urandom(32)) for key in sorted({*active, chain.recovery_key})])
    return Epoch(keys.epoch, keys.key_id, last.ciphers, tuple(SealedCopy(*copy) for copy in copies))
