"""What holds for something is what a path says, told the long way: the longest prefix on which a value was set."""

from hypothesis import given
from hypothesis import strategies as st

from hyperfs.policy.inheritance import Held, nearest

TOP = 1
steps = st.lists(
    st.tuples(st.sampled_from(["make", "move", "set", "unset"]), st.integers(0, 30), st.integers(0, 30)), max_size=60
)


class ByPath:
    """The naive model: whole paths, all of which are written anew when a folder moves."""

    def __init__(self) -> None:
        self.paths: dict[int, tuple[int, ...]] = {TOP: (TOP,)}
        self.values: dict[int, bytes] = {}

    def step(self, what: str, one: int, two: int) -> None:
        inos = sorted(self.paths)
        at, other = inos[one % len(inos)], inos[two % len(inos)]
        if what == "make":
            ino = len(self.paths) + 1
            self.paths[ino] = (*self.paths[at], ino)
        elif what == "move" and at != TOP and at not in self.paths[other]:
            depth = len(self.paths[at]) - 1
            moved = {ino: path for ino, path in self.paths.items() if at in path}
            for ino, path in moved.items():
                self.paths[ino] = self.paths[other] + path[depth:]
        elif what == "set":
            self.values[at] = b"%d" % two
        elif what == "unset":
            self.values.pop(at, None)

    def held(self, ino: int) -> Held:
        for at in reversed(self.paths[ino]):
            if at in self.values:
                return Held(self.values[at], at)
        return Held(b"default", 0)


@given(steps)
def test_the_nearest_value_holds_whatever_was_made_moved_set_and_taken_away(taken: list[tuple[str, int, int]]) -> None:
    model = ByPath()
    for step in taken:
        model.step(*step)
    parents = {ino: path[-2] if len(path) > 1 else 0 for ino, path in model.paths.items()}
    for ino, path in model.paths.items():
        asked: list[int] = []

        def own(at: int, asked: list[int] = asked) -> bytes | None:
            asked.append(at)
            return model.values.get(at)

        assert nearest(own, lambda at: parents[at], ino, b"default") == model.held(ino)
        assert len(asked) <= len(path)


def test_a_circle_ends() -> None:
    assert nearest(lambda at: None, lambda at: 3 - at, 1, None) == Held(None, 0)
