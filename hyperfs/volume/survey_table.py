"""What blocks are needed for, by numbers: many blocks need the same. Pure."""

from collections.abc import Sequence

from hyperfs.policy.placement import STAYS, Needs, together


class Table:
    """Needs by number, so that a block takes two bytes. 0: nobody has looked."""

    def __init__(self) -> None:
        self.all: list[Needs] = [STAYS]
        self._numbers: dict[Needs, int] = {}
        self._joined: dict[tuple[int, int], int] = {}

    @classmethod
    def of(cls, needs: Sequence[Needs]) -> "Table":
        """With all of another one, by the same numbers."""
        made = cls()
        made.all = list(needs)
        made._numbers = {found: number for number, found in enumerate(needs) if number}
        return made

    def number(self, needs: Needs) -> int:
        """Past 60,000 different ones a block stays."""
        found = self._numbers.get(needs)
        if found is None:
            if len(self.all) >= 60_000:
                needs = STAYS
            found = self._numbers.setdefault(needs, len(self.all))
            if found == len(self.all):
                self.all.append(needs)
        return found

    def joined(self, one: int, other: int) -> int:
        if not one or one == other:
            return other
        found = self._joined.get((one, other))
        if found is None:
            found = self._joined[one, other] = self.number(together(self.all[one], self.all[other]))
        return found
