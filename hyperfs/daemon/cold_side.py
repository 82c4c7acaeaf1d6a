"""The cold side of a drive that is open in this process, with the places that the drive remembers."""

import os

from hyperfs.cold import settings
from hyperfs.cold.cold import Cold
from hyperfs.errors import Corrupt, FormatTooNew
from hyperfs.policy.placement import Strength
from hyperfs.store.objects import AccessKey
from hyperfs.values import BlockRef
from hyperfs.volume.volume import Volume

WARNING = "access-keys"


def open_cold(volume: Volume) -> Cold:
    """Nothing is asked of the places yet. From now on the volume fetches from them. Those of another's drive, which is
    open by a link, are not for us."""

    def strength_of(ref: BlockRef) -> Strength | None:
        return None if volume.survey is None else volume.survey.survey.needs(ref).strength

    cold = Cold(volume.parts, volume.warnings, volume.overlay.now_ns, strength_of=strength_of)
    remembered = settings.urls(volume) if volume.parts.link_keys is None else {}
    kept = keys_of(volume) if remembered else {}
    for name, url in remembered.items():
        cold.add(name, url, settings.open_place(name, url, kept, os.environ))
    volume.returning.elsewhere = cold
    return cold


def keys_of(volume: Volume) -> dict[str, AccessKey]:
    """The access keys that were given; none, and a warning, where they can't be read."""
    try:
        return settings.access_keys(volume)
    except (Corrupt, FormatTooNew, OSError) as error:
        volume.warnings[WARNING] = f"{error}; give the keys again with 'hyperfs cold add'"
        return {}
