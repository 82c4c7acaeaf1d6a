"""An old version in the place of the present: for a volume that is open read-only and shows nothing else."""

from datetime import tzinfo

from hyperfs.errors import BadRequest
from hyperfs.values import ROOT_INO
from hyperfs.volume.commit_record import Commit
from hyperfs.volume.layer import Layer
from hyperfs.volume.volume import Volume


def show_version(volume: Volume, when: str, now_ns: int, zone: tzinfo) -> int:
    """Makes the live tree of a read-only volume that of a version; returns its number. Before it is mounted.

    Raises BadWhen, NoSuchVersion. Changes nothing on disk: what the journal held is left out of sight.
    """
    if not volume.read_only:
        raise BadRequest("only a drive that is opened read-only can show an old version as the present")
    version = volume.versions.resolve(when, ROOT_INO, now_ns, zone)
    show_commit(volume, volume.versions.commit(version))
    return version


def show_commit(volume: Volume, commit: Commit) -> None:
    """As show_version."""
    overlay = volume.overlay
    overlay.live.active, overlay.live.frozen = Layer(), None
    overlay.live.root = commit.root
    overlay.table.clear()
    overlay.orphans.clear()
    overlay.files, overlay.directories = commit.files, commit.directories
    overlay.file_bytes = commit.file_bytes
