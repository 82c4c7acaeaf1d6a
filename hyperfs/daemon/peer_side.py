"""The peers of a drive that is open in this process, and its cold stores, as the places that the volume asks."""

from collections.abc import Callable

from hyperfs.cold.cold import Cold
from hyperfs.syncing.home import Home
from hyperfs.syncing.peers import Peers
from hyperfs.syncing.together import Together
from hyperfs.volume.volume import Volume


def open_peers(volume: Volume, cold: Cold, used_ago: Callable[[], float]) -> Peers:
    """Nothing is asked of anybody yet. From now on the volume fetches from peers too."""
    peers = Peers(Home(volume, volume.overlay.now_ns, used_ago))
    volume.returning.elsewhere = Together(cold, peers)
    return peers
