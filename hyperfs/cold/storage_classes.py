"""In which of a store's own classes an object is kept: by the policy of what is in it. Pure.

Only classes that answer at once are used; what they cost, and for how long at least, is between the store and who pays
for it. A store that knows none of them keeps all in its standard class.
"""

from collections.abc import Mapping
from typing import Final

from hyperfs.errors import InvalidArgument
from hyperfs.policy.placement import Strength
from hyperfs.store.objects import S3, parse_url

STANDARD: Final = ""
"""The store's own standard class: none is named."""
BY_POLICY: Final[Mapping[Strength, str]] = {Strength.COLD: "STANDARD_IA", Strength.ARCHIVE: "GLACIER_IR"}
"""What is rarely read, and what is rarely read and never changes. All else is in the standard class."""


class StorageClasses:
    """Of one place, by its URL: a class that it names is for all that goes there."""

    def __init__(self, url: str) -> None:
        try:
            where = parse_url(url)
        except InvalidArgument:
            where = None
        self.named = where.storage_class if where is not None else ""
        """The one in the URL."""
        chooses = where is not None and where.scheme == S3 and not self.named
        self._by_policy: Mapping[Strength, str] = BY_POLICY if chooses else {}
        self.refused: set[str] = set()
        """Those that the store has turned out not to know."""

    @property
    def differ(self) -> bool:
        """Whether it matters what holds for the blocks of an object."""
        return any(name not in self.refused for name in self._by_policy.values())

    def of(self, strength: Strength) -> str:
        """The class for what a policy holds so strongly; STANDARD for none."""
        found = self.named or self._by_policy.get(strength, STANDARD)
        return STANDARD if found in self.refused or found == "STANDARD" else found
