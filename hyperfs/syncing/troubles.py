"""What is wrong with one peer, by what it says and how its connections end, and how that is told."""

import logging
from typing import Final

from hyperfs.errors import HyperfsError, Misbehaved, NotHeld, PlaceFull, Refused, Unreachable
from hyperfs.replication.dialogue_codec import Notice, Notified, decode_words
from hyperfs.syncing.attested import Attested
from hyperfs.syncing.home import Home, log
from hyperfs.syncing.peer_warnings import warning_of
from hyperfs.syncing.trouble import Kind, Trouble, trouble_of

_HASH_BYTES: Final = 32


class Troubles:
    """Owned by the trio thread."""

    def __init__(self, home: Home, name: str, attested: Attested) -> None:
        self.now: Trouble | None = None
        self._home = home
        self._name = name
        self._attested = attested
        self._told: Trouble | None = None  # what it said why it is about to hang up

    def connecting(self) -> None:
        self._told = None

    def hear(self, said: Notified) -> None:
        """A notice of the peer."""
        words = decode_words(said.body[_HASH_BYTES:])
        if said.kind == Notice.TROUBLE:
            # The notice has no kind but its words: what is not taken for want of room is told by an answer as well.
            is_full = any(word in words for word in ("quota", "full", "room"))
            self._told = trouble_of(PlaceFull(words) if is_full else Refused(words))
        elif said.kind == Notice.GONE and said.body[:_HASH_BYTES] == self._home.volume.drive_id:
            self._told = trouble_of(NotHeld(words))
        elif said.kind == Notice.LEAVING:
            self._told = trouble_of(Unreachable(decode_words(said.body)))

    def judged(self, error: Exception) -> Trouble:
        """Why a connection ended: what the peer told before it hung up says more than that."""
        if not isinstance(error, HyperfsError | OSError):
            log.error("the connection to the peer %s failed", self._name, exc_info=error)
        found = trouble_of(error)
        if self._home.is_out:
            return Trouble(Kind.OUT, Refused("this device was taken out of the drive"))
        if isinstance(error, Misbehaved) and "another than was expected" in str(error):
            return Trouble(Kind.STRANGER, error)
        if found.kind is Kind.UNREACHABLE and self._told is not None:
            return self._told
        return found

    def works(self) -> None:
        """It talks to us, and holds the drive. What was found of its word stays until that is good again."""
        if self.now is not None and self.now.kind is not Kind.LIES:
            log.info("the peer %s is connected again", self._name)
            self.clear()

    def clear(self) -> None:
        self.now = None
        self._home.volume.warnings.pop(warning_of(self._name), None)

    def note(self, trouble: Trouble) -> None:
        """Why the connection ended, or did not come about."""
        if trouble.kind in (Kind.LIES, Kind.APART, Kind.NOT_HELD):
            self._attested.forget_all()  # what it had given its word for counts as nowhere, from now on
            self._home.tell_proven()
        elif self.now is not None and self.now.kind is Kind.LIES:
            return  # that it can't be reached now is the lesser thing
        if trouble.kind is Kind.NOT_HELD and self.now is not None and self.now.kind is Kind.NOT_HELD:
            trouble = self.now  # it had said more when it dropped the drive
        words = trouble.words(self._name)
        if self.now is None or self.now.words(self._name) != words:
            log.log(logging.ERROR if trouble.is_loud else logging.INFO, "%s", words)
        self.now = trouble
        if trouble.is_loud:
            self._home.volume.warnings[warning_of(self._name)] = words
        else:
            self._home.volume.warnings.pop(warning_of(self._name), None)
