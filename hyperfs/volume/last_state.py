"""What is gone, as it was last: which version to restore it from when nobody names one."""

from hyperfs.errors import InvalidArgument, NotFound
from hyperfs.volume.meanings import last_meaning
from hyperfs.volume.paths import find, parts_of
from hyperfs.volume.volume import Volume


def last_state(volume: Volume, path: bytes) -> int:
    """The version that has the last state of a path that is gone. Raises NotFound, InvalidArgument where it is there.

    A folder that was removed file by file was whole before the first of these. Ask `changes.caught_up` first.
    """
    found = last_meaning(volume, path)
    if found is None:
        raise NotFound(f"no version that is kept has {path.decode(errors='replace')!r}")
    if find(volume.overlay.live, path) is not None:
        raise InvalidArgument(f"{path.decode(errors='replace')!r} is there: say with --at which state of it you want")
    for went in volume.changes.went(found.directory, parts_of(path)[-1]):
        if went.ino == found.ino:
            whole = volume.versions.kept_before(went.began_ns)
            if whole and volume.versions.tree(whole).inode(found.ino) is not None:
                return whole
    return found.version
