"""The plan as a pure function: on a model of two folders, whose names are all that there is."""

import stat
from dataclasses import dataclass, field, replace

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.follow.facts import Facts, Identity, Record
from hyperfs.follow.plan import Deed, Elsewhere, Name, Step, plan

NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
FILE = Facts(stat.S_IFREG, 0o644, 1, 1, 10, 0, 5, 5, Identity((1, 100)), 1, 0)


@dataclass
class Model:
    """A folder, its copy and the records. Copies have inodes of their own, and bytes: those of a source's state."""

    source: dict[bytes, tuple[Facts, int]] = field(default_factory=dict)
    copy: dict[bytes, tuple[Facts, int]] = field(default_factory=dict)
    records: dict[bytes, Record] = field(default_factory=dict)
    next_inode: int = 1000
    read: int = 0

    def names(self) -> list[Name]:
        known = sorted({*self.source, *self.copy, *self.records})
        return [
            Name(name, _facts(self.source, name), _facts(self.copy, name), self.records.get(name), self.elsewhere(name))
            for name in known
        ]

    def elsewhere(self, name: bytes) -> list[Elsewhere]:
        source = _facts(self.source, name)
        return [
            Elsewhere(record, _facts(self.source, other), _facts(self.copy, other))
            for other, record in sorted(self.records.items())
            if source is not None and other != name and record.identity == source.identity
        ]

    def perform(self, step: Step) -> None:
        name = step.name.name
        if step.deed in (Deed.REMOVE, Deed.GONE, Deed.FORGET):
            self.copy.pop(name, None)
            self.records.pop(name, None)
            return
        source, content = self.source[name]
        if step.deed in (Deed.MOVE, Deed.EXCHANGE, Deed.LINK):
            assert step.other is not None
            other = next(key for key, record in self.records.items() if record.number == step.other.record.number)
            before = self.copy.get(name), self.records.get(name)
            self.copy[name] = self.copy[other]
            if step.deed is not Deed.LINK:
                del self.copy[other], self.records[other]
            if step.deed is Deed.EXCHANGE and before[0] is not None:
                self.copy[other] = before[0]
                if before[1] is not None:
                    self.records[other] = before[1]
        else:
            self.next_inode += 1
            same = name in self.copy and self.copy[name][1] == content
            if step.deed is Deed.TAKE or (step.deed is Deed.EXPLAIN and not same):
                self.read += 1
                self.copy[name] = replace(source, identity=Identity((9, self.next_inode))), content
        self.copy[name] = replace(source, identity=self.copy[name][0].identity), self.copy[name][1]
        number = step.other.record.number if step.other and step.deed is not Deed.LINK else self.next_inode
        self.records[name] = Record(number, source.identity, source.ctime_ns, False)

    def equalise(self) -> list[Deed]:
        done = []
        for _ in range(5):
            steps = plan(self.names(), owners=True)
            for step in steps:
                self.perform(step)
                done.append(step.deed)
            if not steps:
                return done
        raise AssertionError(f"the plan comes to no end: {done}")


def _facts(folder: dict[bytes, tuple[Facts, int]], name: bytes) -> Facts | None:
    return folder[name][0] if name in folder else None


def new_file(inode: int, state: int) -> tuple[Facts, int]:
    """`state` is in its bytes and times."""
    return replace(FILE, identity=Identity((1, inode)), mtime_ns=state, ctime_ns=state), state


WHAT = st.sampled_from(["new", "edit", "rename", "remove", "chmod", "lose", "meddle"])
OPERATIONS = st.lists(st.tuples(WHAT, NAMES, NAMES), max_size=12)


def change(model: Model, clock: int, what: str, name: bytes, other: bytes) -> None:
    if what == "new":
        model.source[name] = new_file(clock, clock)
    elif what == "lose":
        model.records.pop(name, None)
    elif what == "meddle":
        model.copy.pop(name, None)
    elif name in model.source:
        facts, content = model.source.pop(name)
        if what == "edit":
            model.source[name] = replace(facts, mtime_ns=clock, ctime_ns=clock), clock
        elif what == "rename":
            model.source[other] = replace(facts, ctime_ns=clock), content
        elif what == "chmod":
            model.source[name] = replace(facts, ctime_ns=clock, mode=0o600), content


@given(st.lists(OPERATIONS, max_size=6))
def test_what_is_planned_makes_the_copy_equal_and_then_nothing_is_planned(
    bursts: list[list[tuple[str, bytes, bytes]]],
) -> None:
    model, clock = Model(), 1000
    for burst in bursts:
        for operation in burst:
            clock += 1
            change(model, clock, *operation)
        model.equalise()
        assert {name: content for name, (_, content) in model.copy.items()} == {
            name: content for name, (_, content) in model.source.items()
        }
        for name, (facts, _) in model.source.items():
            assert (model.copy[name][0].mode, model.copy[name][0].mtime_ns) == (facts.mode, facts.mtime_ns)
        assert set(model.records) == set(model.source)


@given(st.permutations([b"a", b"b", b"c", b"d"]))
def test_any_permutation_of_names_is_done_without_reading(order: list[bytes]) -> None:
    model = Model()
    for number, name in enumerate([b"a", b"b", b"c"]):
        model.source[name] = new_file(100 + number, 10 + number)
    model.equalise()
    model.read = 0
    old = dict(model.source)
    model.source = {
        new: (replace(facts, ctime_ns=99), content)
        for (facts, content), new in zip(old.values(), order, strict=False)
    }
    deeds = model.equalise()
    assert model.read == 0
    assert set(deeds) <= {Deed.MOVE, Deed.EXCHANGE, Deed.GONE, Deed.EXPLAIN}
    assert {name: content for name, (_, content) in model.copy.items()} == {
        name: content for name, (_, content) in model.source.items()
    }


def test_an_inode_with_another_size_is_no_rename() -> None:
    model = Model(source={b"a": new_file(100, 1)})
    model.equalise()
    facts, _ = new_file(100, 1)
    model.source = {b"b": (replace(facts, size=11), 2)}
    assert model.equalise() == [Deed.GONE, Deed.TAKE] or model.read == 2
