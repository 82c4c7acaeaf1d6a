"""A link to one version: that what is here of it is what its writer had signed when the link was made."""

from hyperfs.errors import Corrupt, NoSuchVersion
from hyperfs.sharing.link import Link
from hyperfs.sharing.store import REWRITTEN, opening_of
from hyperfs.volume.link_name import signed_tree
from hyperfs.volume.view import show_commit
from hyperfs.volume.volume import Volume


def check(volume: Volume, link: Link) -> None:
    """Raises Corrupt where the version is another than the link's, NoSuchVersion where it was let go."""
    assert link.version is not None
    found = signed_tree(volume, link.version)
    if found is None:
        raise NoSuchVersion(
            f"version {link.version} is not kept any more: the drive's owner, or the rules of his drive, let it go"
        )
    if found[2] != link.tree:
        raise Corrupt(REWRITTEN.format(f" in version {link.version}"))


def show_linked(volume: Volume, link: Link) -> None:
    """Shows the link's version in the place of the present, once it is checked. Before the volume is mounted."""
    opening_of(link)
    check(volume, link)
    assert link.version is not None
    show_commit(volume, volume.versions.commit(link.version))
