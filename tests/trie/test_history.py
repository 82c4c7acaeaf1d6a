"""Many roots of one log against as many dicts."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from trie_model import MemoryLog, applied, changes, keys, shape, shape_of

from hyperfs.trie import Child, Entry, Ref, diff, lookup, update, walk


class History(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.log = MemoryLog()
        self.now: dict[bytes, Entry] = {}
        self.root: Child | None = None
        self.replaced: list[Ref] = []
        self.kept: list[tuple[Ref | None, dict[bytes, Entry]]] = [(None, {})]

    @rule(batch=changes)
    def change(self, batch: dict) -> None:
        self.root = update(self.log.load, self.root, sorted(batch.items()), self.replaced.append)
        self.now = applied(self.now, batch)

    @precondition(lambda self: self.now)
    @rule(data=st.data())
    def delete_most(self, data: st.DataObject) -> None:
        stay = data.draw(st.sets(st.sampled_from(sorted(self.now)), max_size=2))
        self.change({key: None for key in self.now if key not in stay})

    @precondition(lambda self: len(self.kept) > 1)
    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        _, then = data.draw(st.sampled_from(self.kept))
        self.change({key: then.get(key) for key in {*then, *self.now}})

    @rule()
    def keep(self) -> None:
        self.root = self.log.save(self.root)
        before = self.log.refs(self.kept[-1][0])
        assert len(self.replaced) == len(set(self.replaced))
        assert set(self.replaced) == before - self.log.refs(self.root)
        self.replaced = []
        self.kept.append((self.root, dict(self.now)))

    @rule(data=st.data(), key=keys)
    def read_an_old_root(self, data: st.DataObject, key: bytes) -> None:
        root, then = data.draw(st.sampled_from(self.kept))
        assert {k: (value, hint) for k, value, hint in walk(self.log.load, root)} == then
        assert lookup(self.log.load, root, key) == then.get(key)

    @rule(data=st.data())
    def compare_two(self, data: st.DataObject) -> None:
        a, one = data.draw(st.sampled_from(self.kept))
        b, two = data.draw(st.sampled_from([*self.kept, (self.root, self.now)]))
        values = {key: (one.get(key, (None,))[0], two.get(key, (None,))[0]) for key in {*one, *two}}
        assert [key for key, _, _ in diff(self.log.load, a, b)] == sorted(
            key for key, (old, new) in values.items() if old != new
        )

    @invariant()
    def the_newest_root_is_the_dict_in_canonical_shape(self) -> None:
        found = [(key, (value, hint)) for key, value, hint in walk(self.log.load, self.root)]
        assert found == sorted(self.now.items())
        if self.root is not None:
            naive = shape({key.hex(): value for key, (value, _) in self.now.items()})
            assert shape_of(self.log.load, self.root) == naive


TestHistory = History.TestCase
TestHistory.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
