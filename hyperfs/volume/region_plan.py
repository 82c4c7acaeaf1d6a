"""What each region keeps, where folders have rules of their own. Pure but for reading trees; in a worker thread.

A region's versions are those in which something in it changed. Its rule is asked about them alone; another version has
of the region the same as the last of them before it, and so offers it if that one stays.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence

from hyperfs.policy.retention import HOUR_NS, Rule, kept
from hyperfs.values import ROOT_INO
from hyperfs.volume.catalog import VersionFacts
from hyperfs.volume.clearing import Progress
from hyperfs.volume.offers import DEEPEST, Offers
from hyperfs.volume.parts import Parts
from hyperfs.volume.pinning import tree_of
from hyperfs.volume.stamps import stamp_of
from hyperfs.volume.tree import Tree
from hyperfs.volume.tree_changes import InodeChanged, tree_changes

Known = MutableMapping[tuple[int, int, frozenset[int]], frozenset[int]]
"""Which regions differ between two versions, by their numbers and the borders: it never changes."""
KNOWN_MOST = 200_000


class RegionPlan:
    """`stay`: which versions some region keeps. `absent`: by version, the regions that it does not offer; `before`:
    those that it did not offer already."""

    def __init__(
        self,
        parts: Parts,
        facts: Sequence[VersionFacts],
        rules: Mapping[int, Rule],
        borders: frozenset[int],
        offers: Offers,
        known: Known,
        progress: Progress,
    ) -> None:
        """`rules`: of each border, its own or that of the region around it."""
        self._parts = parts
        self._facts = facts
        self._rules = rules
        self._borders = borders
        self._known = known
        self._progress = progress
        self.before = self._absent_before(offers)
        self.stay = [False] * len(facts)
        self.absent: dict[int, set[int]] = {}

    def decide(self, now_ns: int, step: int = 0) -> None:
        changed = [self._changed(position) for position in range(len(self._facts))]
        for border, rule in self._rules.items():
            self._decide_for(border, rule, changed, now_ns, step)
        self._keep_young(now_ns, step)
        if self.stay:
            self.stay[-1] = True
            self.absent.pop(self._facts[-1].version, None)

    def _decide_for(self, border: int, rule: Rule, changed: list[frozenset[int]], now_ns: int, step: int) -> None:
        own: list[int] = []
        missing = True  # nothing before the first version offers the region
        for position, facts in enumerate(self._facts):
            if border in self.before.get(facts.version, ()):
                missing = True
                continue
            if missing or border in changed[position]:
                own.append(position)
            missing = False
        stays = dict(zip(own, kept(rule, [stamp_of(self._facts[p]) for p in own], now_ns, step), strict=True))
        offered = False
        for position, facts in enumerate(self._facts):
            if border in self.before.get(facts.version, ()):
                offered = False
            offered = stays.get(position, offered)
            self.stay[position] |= stays.get(position, False)
            if not offered:
                self.absent.setdefault(facts.version, set()).add(border)

    def _keep_young(self, now_ns: int, step: int) -> None:
        """Versions in which nothing changed stay for an hour, if the drive's rule is of a kind that keeps such."""
        stays = kept(self._rules[ROOT_INO], [stamp_of(found) for found in self._facts], now_ns, step)
        for position, facts in enumerate(self._facts):
            self.stay[position] |= stays[position] and facts.time_ns > now_ns - HOUR_NS

    def _absent_before(self, offers: Offers) -> dict[int, frozenset[int]]:
        """By version, also for regions that are new: what they lay in decided until now."""
        found: dict[int, frozenset[int]] = {}
        if not offers.absent:
            return found
        new = self._borders - offers.borders
        logs = self._parts.chain.logs
        for facts in self._facts:
            offer = offers.of(facts.version, logs[facts.log].device)
            if offer is not None:
                tree = tree_of(self._parts, facts)[0] if new else None
                found[facts.version] = offer.absent | {i for i in new if tree is not None and offer.hides(tree, i)}
        return found

    # What changed

    def _changed(self, position: int) -> frozenset[int]:
        """The regions in which something differs from the version before; all, for the first."""
        if not position:
            return self._borders
        before, after = self._facts[position - 1], self._facts[position]
        key = (before.version, after.version, self._borders)
        found = self._known.get(key)
        if found is None:
            self._progress("looking for what changed where", position, len(self._facts))
            old, new = tree_of(self._parts, before)[0], tree_of(self._parts, after)[0]
            found = frozenset(_regions_between(old, new, self._borders))
            if len(self._known) >= KNOWN_MOST:
                self._known.clear()
            self._known[key] = found
        return found


def _regions_between(old: Tree, new: Tree, borders: frozenset[int]) -> set[int]:
    found: set[int] = set()
    for event in tree_changes(old, new):
        if len(found) == len(borders):
            break  # all of them
        match event:
            case None:
                continue
            case InodeChanged(before, after, _):
                found |= {region_of(old, before.ino, borders), region_of(new, after.ino, borders)}
                if after.nlink > 1 and not after.is_directory:
                    return set(borders)  # it has names that lie who knows where
            case _:
                found |= {region_of(old, event.directory, borders), region_of(new, event.directory, borders)}
                if event.ino in borders:
                    found.add(event.ino)
    return found


def region_of(tree: Tree, ino: int, borders: frozenset[int]) -> int:
    """The border of the region that something lies in."""
    for at in _upwards(tree, ino):
        if at in borders:
            return at
    return ROOT_INO


def _upwards(tree: Tree, ino: int) -> Iterator[int]:
    for _ in range(DEEPEST):
        if not ino:
            return
        yield ino
        inode = tree.inode(ino)
        ino = inode.parent if inode is not None and ino != ROOT_INO else 0
