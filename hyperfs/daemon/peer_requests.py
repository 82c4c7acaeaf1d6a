"""Requests about peers: pairing with one, taking one away, how they fare, and waiting until they have everything."""

from collections.abc import Iterator
from typing import Any, Final

from hyperfs.daemon import params as given
from hyperfs.daemon.drive import Drive
from hyperfs.daemon.times import iso_time
from hyperfs.daemon.wire import Message, Tell
from hyperfs.errors import BadRequest, NotFound, Refused
from hyperfs.replication import address, invitation
from hyperfs.replication.address import Address
from hyperfs.replication.client import PeerClient
from hyperfs.replication.invitation import Invitation
from hyperfs.syncing import chain_sync, settings
from hyperfs.syncing.dialling import asked
from hyperfs.syncing.home import bytes_of
from hyperfs.syncing.runs import Runs
from hyperfs.syncing.settings import METERED, Known, Limits
from hyperfs.volume.moving import Mover
from hyperfs.volume.status import is_confirmed

_TIMES: Final = ("added", "last_receipt", "last_audit")


async def list_peers(drive: Drive, params: Message, tell: Tell) -> Message:
    limits = drive.peers.limits
    for peer in drive.peers.all():
        await peer.look_at_space()
    return {"peers": await peer_facts(drive), "limits": limits._asdict()}


async def peer_facts(drive: Drive) -> list[dict[str, Any]]:
    for peer in drive.peers.all():
        await peer.refresh()
    return [_with_times(facts) for facts in drive.peers.facts()]


def _with_times(facts: dict[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in facts.items() if not name.endswith("_ns")}
    return told | {name: iso_time(facts[f"{name}_ns"]) if facts[f"{name}_ns"] else None for name in _TIMES}


async def add_peer(drive: Drive, params: Message, tell: Tell) -> Message:
    """Pairs with the peer that gave a code; or remembers where one is that holds the drive already. It is asked before
    anything is remembered. Needs the recovery key confirmed, or `has_key`."""
    volume = drive.volume
    volume.check_writable()
    if not is_confirmed(volume) and not params.get("has_key"):
        raise Refused(
            "the recovery key was never confirmed: with this computer gone, nobody could open what is on the peer. "
            "'hyperfs key show' shows it, 'hyperfs key confirm' takes it back; --i-have-the-key says that it is safe"
        )
    where, invited = _asked(given.text(params, "code"))
    name = given.text(params, "name") if params.get("name") is not None else _known_as(drive, where)
    name = name if name is not None else settings.name_for(where, settings.taken_names(volume))
    settings.check_new(volume, name, where)
    before = settings.known(volume).get(name)
    added_ns = before.added_ns if before is not None else volume.overlay.now_ns()
    known = Known(name, where, added_ns)
    await tell(f"pairing with {where.endpoint}", 0, 0)
    quota = await _pair(drive, known, invited)
    await settings.remember(volume, name, known)
    drive.peers.add(known)
    if drive.mover is not None:
        drive.mover.look_again()
    facts = next(facts for facts in await peer_facts(drive) if facts["name"] == name)
    return facts | {"quota_bytes": quota}


def _asked(text: str) -> tuple[Address, Invitation | None]:
    """Raises BadRequest."""
    if text.strip().lower().startswith("hyperfs://"):
        return address.parse(text), None
    found = invitation.parse(text)
    return found.address, found


def _known_as(drive: Drive, where: Address) -> str | None:
    """The name of the peer that has this key: it has moved, or was invited again."""
    return next((k.name for k in settings.known(drive.volume).values() if k.address.key == where.key), None)


async def _pair(drive: Drive, known: Known, invited: Invitation | None) -> int | None:
    """The quota. Raises Unreachable, Refused and their like, with words."""
    volume = drive.volume

    async def pair(client: PeerClient) -> int | None:
        quota = await client.pair(invited, volume.drive_id) if invited is not None else None
        await chain_sync.meet(client, volume.parts.chain)
        return (await client.space(volume.drive_id)).quota_bytes if invited is None else quota

    return await asked(drive.peers.home, known, pair)


async def remove_peer(drive: Drive, params: Message, tell: Tell) -> Message:
    """Takes a peer away; what lies there stays there. Refused where blocks are only there, unless `force` is given."""
    volume = drive.volume
    volume.check_writable()
    name = given.text(params, "name")
    known = settings.known(volume)
    if name not in known:
        raise NotFound(f"the drive has no peer {name!r}: 'hyperfs peer list' tells those that it has")
    only_there = sum(_only_at(drive, name))
    if only_there and not params.get("force"):
        raise Refused(
            f"{only_there / 2**20:.1f} MiB of files or old versions are only at {name}, and not here: bring them back "
            f"('hyperfs policy set PATH class=hot'), or give --force and do without them until {name} is added again"
        )
    await settings.remember(volume, name, None)
    drive.peers.remove(name)
    return {"name": name, "address": str(known[name].address), "only_there_bytes": only_there}


def _only_at(drive: Drive, name: str) -> Iterator[int]:
    """The sizes of runs of blocks that are not on this device, and that no other place has."""
    for number, log in drive.volume.parts.logs.items():
        for first, end in drive.peers.home.away(number):
            left = drive.peers.only_at(name, number, Runs(drive.cold.only_at("", number, first, end)))
            for run in left:
                yield bytes_of(log, *run)


async def limit_peers(drive: Drive, params: Message, tell: Tell) -> Message:
    """Sets what is given of `up`, `down` (rates as text), `metered` and `lan`; tells what holds."""
    limits: Limits = drive.peers.limits
    changes: dict[str, Any] = {
        name: settings.read_rate(given.text(params, name)) for name in ("up", "down") if params.get(name) is not None
    }
    if params.get("metered") is not None:
        metered = given.text(params, "metered")
        if metered not in METERED:
            raise BadRequest(f"metered={metered!r}: write {', '.join(METERED)}")
        changes["metered"] = metered
    if params.get("lan") is not None:
        changes["lan"] = lan = given.text(params, "lan")
        if lan not in ("yes", "no"):
            raise BadRequest(f"lan={lan!r}: write yes or no")
    if changes:
        limits = limits._replace(**changes)
        await settings.remember_limits(drive.volume, limits)
        drive.peers.set_limits(limits)
    return limits._asdict() | {"is_metered": drive.peers.home.is_metered}


async def sync(drive: Drive, params: Message, tell: Tell) -> Message:
    """Commits, and has the peers (or the one of `name`) tried now. `wait`: answers when each has attested everything
    that is committed and may be there, shared folders included."""
    volume = drive.volume
    version = volume.versions.newest.version
    if not volume.read_only and volume.journaling.read_only_because is None:
        version = (await volume.commit()).version
    peers = drive.peers.all()
    if params.get("name") is not None:
        name = given.text(params, "name")
        peers = [peer for peer in peers if peer.name == name]
        if not peers:
            raise NotFound(f"the drive has no peer {name!r}: 'hyperfs peer list' tells those that it has")
    for peer in peers:
        await peer.refresh()
        peer.hurry()
    if params.get("wait"):
        if not peers:
            raise Refused("the drive has no peer: 'hyperfs peer add CODE' adds one")
        if any(peer.waits_for_survey for peer in peers):
            await tell("looking what may go where", 0, 0)
            await (drive.mover.looked() if drive.mover is not None else Mover(volume).look())
        names = [peer.name for peer in peers]
        await drive.peers.until_synced(names, tell)
        for folder in drive.shared.all() if drive.shared is not None else ():
            await folder.until_synced(version, names, tell)
        for peer in peers:
            await peer.look_at_space()
    return {"version": version, "peers": await peer_facts(drive)}
