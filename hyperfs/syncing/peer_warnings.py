"""What of a peer stands in the drive's warnings."""

from typing import Final

from hyperfs.syncing.home import Home, bytes_of_runs, log
from hyperfs.syncing.link import Link

_ALL: Final = ("", "-lost", "-damage", "-gone", "-away")


def warning_of(name: str) -> str:
    """The key of what is wrong with a peer itself."""
    return f"peer-{name}"


def forget(home: Home, name: str) -> None:
    for more in _ALL:
        home.volume.warnings.pop(warning_of(name) + more, None)


def tell_damage(home: Home, name: str, link: Link) -> None:
    """Blocks that are damaged here can't be sent."""
    key, damage = f"{warning_of(name)}-damage", link.feeding.damage
    if damage is None:
        home.volume.warnings.pop(key, None)
        return
    home.volume.warnings[key] = f"blocks can't be brought to the peer {name}: {damage}. See 'hyperfs verify'"


def tell_lost(home: Home, name: str, link: Link) -> None:
    """What it had promised to keep and has not. What is still here is sent again by itself."""
    key = f"{warning_of(name)}-lost"
    lost = {number: runs for number, runs in link.lost.items() if runs}
    if not lost:
        home.volume.warnings.pop(key, None)
        return
    logs = home.volume.parts.logs
    nbytes = sum(bytes_of_runs(logs[number], runs) for number, runs in lost.items())
    away = sum(bytes_of_runs(logs[number], runs & home.away(number)) for number, runs in lost.items())
    words = f"the peer {name} has lost {nbytes} bytes that it had promised to keep: what is here is sent again"
    if away:
        words += f"; {away} bytes of it are not on this device: see 'hyperfs verify'"
    if home.volume.warnings.get(key) != words:
        log.error("%s", words)
    home.volume.warnings[key] = words


def tell_away(home: Home, name: str, link: Link) -> None:
    """What left this device and is to be there, and can't be brought."""
    key, why = f"{warning_of(name)}-away", link.through.why
    nbytes = sum(lag.away_bytes for lag in link.feeding.lags.values())
    if why is None or not nbytes:
        home.volume.warnings.pop(key, None)
        return
    home.volume.warnings[key] = (
        f"{nbytes} bytes that are not on this device can't be brought to the peer {name}: {why}. It is tried again"
    )
