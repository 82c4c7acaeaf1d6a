"""Protection of the live tree: `nodelete`, `lock` and `archive`, asked before anything changes.

Raises Refused, which changes nothing. A drive on which nothing is protected is asked one thing: `on`.
"""

from typing import NoReturn

from hyperfs.errors import NotPermitted, Refused
from hyperfs.policy import protection as rules
from hyperfs.policy.attributes import CLASS, OWNERS, PROTECT
from hyperfs.policy.protection import ARCHIVE, NODELETE, Standing
from hyperfs.volume.inode import Inode
from hyperfs.volume.namespace import EXCHANGE
from hyperfs.volume.overlay import Overlay


class Protection:
    """Synchronous, as what it guards: nothing runs between the question and the deed."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self._policies = overlay.policies

    @property
    def on(self) -> bool:
        """Whether anything is protected."""
        return self._policies.protects

    def going(self, parent: int, name: bytes) -> None:
        """Before a name is taken away."""
        inode = self._named(parent, name)
        if inode is not None:
            why = rules.why_not_go(self._standing(parent, name, inode))
            if why is not None:
                _refuse(name, why, "may not go")

    def renaming(self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int) -> None:
        """Before a rename, over something or not, or an exchange."""
        inode, other = self._named(parent, name), self._named(new_parent, new_name)
        if inode is None or inode is other:
            return
        it = self._standing(parent, name, inode)
        same = parent == new_parent
        if flags == EXCHANGE:
            sides = [(name, it)]
            if other is not None:
                sides.append((new_name, self._standing(new_parent, new_name, other)))
            for at, standing in sides:
                why = rules.why_not_exchange(standing, same)
                if why is not None:
                    _refuse(at, why, "may not be exchanged")
            return
        if same and inode.is_file and rules.may_save(name, new_name):
            it = it._replace(passing=True)
        why = rules.why_not_move(it, self._policies.is_archived(new_parent))
        if why is not None:
            _refuse(name, why, "may not be renamed")
        if other is not None:
            why = rules.why_not_replace(self._standing(new_parent, new_name, other))
            if why is not None:
                _refuse(new_name, why, "may not be replaced")

    def writing(self, inode: Inode) -> None:
        """Before a file is opened for writing, or its size changes. Who has it open already may go on."""
        if inode.nlink and not inode.writers and self._policies.is_archived(inode.ino):
            _refuse(b"the file", ARCHIVE, "is closed")

    def putting_back(self, parent: int, name: bytes, inode: Inode, comes_back: bool) -> None:
        """Before a restore or an undo takes a name away. `comes_back`: with something else under it."""
        standing = self._standing(parent, name, inode)
        why = rules.why_not_replace(standing) if comes_back else rules.why_not_go(standing)
        if why is not None:
            _refuse(name, why, "may not be replaced" if comes_back else "may not go, and would")

    def setting(self, inode: Inode, name: bytes, value: bytes | None, uid: int) -> None:
        """Before somebody changes a policy: what is its owner's alone may nobody else set, take away or overrule.

        Raises NotPermitted. Root may all.
        """
        owners = OWNERS.get(name)
        if owners is None or not uid:
            return
        held = self._policies.held(inode.ino, name)
        if owners not in (value, held.value):
            return
        source = self._overlay.inode(held.source) if held.value == owners and held.source else inode
        if uid not in (inode.uid,) or source.uid != uid:
            raise NotPermitted(f"{name.decode()}={owners.decode()} is for the owner to set and to take away")

    def _named(self, parent: int, name: bytes) -> Inode | None:
        dentry = self._overlay.live.dentry(parent, name)
        return None if dentry is None else self._overlay.inode(dentry[0])

    def _standing(self, parent: int, name: bytes, inode: Inode) -> Standing:
        protect = self._policies.held_as(inode, parent, PROTECT).value or b""
        held = self._policies.held_as(inode, parent, CLASS)
        return Standing(
            protect=protect,
            archived=held.value == ARCHIVE,
            own_class=held.source == inode.ino,
            folder=inode.is_directory,
            passing=protect == NODELETE and self._passes(parent, name, inode),
        )

    def _passes(self, parent: int, name: bytes, inode: Inode) -> bool:
        """A backup may go once there is again what it is a backup of: else to make one would be a way to delete."""
        live = self._overlay.live
        of = rules.backed_up(name)
        if of is not None and live.dentry(parent, of) is not None:
            if rules.is_passing_backup(name):
                return True
        elif of is not None and (inode.born or (live.frozen is not None and inode.ino in live.frozen.inodes)):
            return False
        return not live.is_saved(parent, name) or rules.is_temporary(name)


def _refuse(name: bytes, why: bytes, what: str) -> NoReturn:
    policy = "class" if why == ARCHIVE else "protect"
    shown = name.decode(errors="replace")
    raise Refused(f"{shown} {what}: {policy}={why.decode()}; 'hyperfs policy show PATH' says where that was set")
