"""The control chain of a drive and that of a peer: one is the beginning of the other, or both are evidence.

What is longer here is offered; what is longer there, and goes on from ours, is given to whoever called.
"""

from hyperfs.errors import Contradiction, Corrupt, NotHeld
from hyperfs.log.control import Chain
from hyperfs.log.control_codec import decode_records
from hyperfs.replication.client import PeerClient
from hyperfs.replication.dialogue_bodies import Outcome


async def meet(client: PeerClient, chain: Chain) -> Chain:
    """Afterwards the peer has all of our chain. Gives its own where that goes on from ours, else ours.

    Raises Contradiction where they part, Corrupt or Refused where its chain breaks the rules, and what it refuses.
    """
    records = chain.records
    try:
        taken = await client.offer(chain.drive_id, records, len(records) - 1)
    except NotHeld:
        found = await longer(client, chain)  # a device that was taken out may still read that it was
        if found is chain:
            raise
        return found
    if taken.outcome is Outcome.APART:
        taken = await client.offer(chain.drive_id, records, await _joint(client, chain))
    if taken.outcome is Outcome.APART:
        taken = await client.offer(chain.drive_id, records)
    if taken.outcome is Outcome.APART:
        raise Contradiction("the peer has another control chain than this device, and does not say where they part")
    return await longer(client, chain) if taken.total > len(records) else chain


async def _joint(client: PeerClient, chain: Chain) -> int:
    """From which record on it has to be offered."""
    try:
        total, _ = await client.chain(chain.drive_id, len(chain.records))
    except NotHeld:
        return 0  # its chain has not come there yet
    return total if total < len(chain.records) else 0


async def longer(client: PeerClient, chain: Chain) -> Chain:
    """The peer's chain, which goes on from ours. Corrupt, Refused, Contradiction where it does not."""
    found = chain
    while True:
        total, data = await client.chain(chain.drive_id, len(found.records))
        more = decode_records(data)
        found = found.extend(more) if more else found
        if len(found.records) >= total:
            return found
        if not more:
            raise Corrupt("the peer says that it has more records of the control chain, and gives none")
