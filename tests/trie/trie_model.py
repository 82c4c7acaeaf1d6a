"""What the trie is checked against: a log in memory, an independent builder of the shape, strategies.

The builder shares no code with hyperfs.trie. It works on whole strings of hex digits and writes canonical
forms field by field after the format's page.
"""

from hashlib import blake2b
from itertools import groupby

from hypothesis import strategies as st

from hyperfs.errors import NotResident
from hyperfs.trie import Child, Entry, Node, Point, Ref, decode, persist, point_of, update, walk_nodes
from hyperfs.values import BlockRef

ID_KEY = bytes(range(32))


def identify(canonical: bytes) -> bytes:
    return blake2b(canonical, digest_size=16, key=ID_KEY).digest()


class MemoryLog:
    """Blocks in memory of one node each, decoded anew at each load. `absent` are indexes that are not resident."""

    def __init__(self, number: int = 1, first: int = 0) -> None:
        self.number = number
        self.first = first
        self.blocks: list[bytes] = []
        self.loads = 0
        self.absent: set[int] = set()

    def append(self, data: bytes) -> tuple[int, Point]:
        self.blocks.append(data)
        return self.number, point_of(self.first + len(self.blocks) - 1, 0)

    def load(self, ref: Ref) -> Node:
        assert ref.log == self.number
        self.loads += 1
        if ref.block in self.absent:
            raise NotResident([BlockRef(ref.log, ref.block)])
        return decode(self.blocks[ref.block - self.first])

    def save(self, root: Child | None) -> Ref | None:
        return persist(root, identify, self.append)

    def of(self, entries: dict[bytes, Entry]) -> Ref | None:
        """The stored root of these entries, put in as one batch."""
        return self.save(update(self.load, None, sorted(entries.items()), nothing_replaced))

    def refs(self, root: Child | None) -> set[Ref]:
        return set(walk_nodes(self.load, root))


def nothing_replaced(ref: Ref) -> None:
    raise AssertionError(f"{ref} was reported as replaced")


def shape(entries: dict[str, bytes]) -> tuple:
    """The canonical shape of {key in hex: value}, which must not be empty."""
    weight = sum(len(key) // 2 + len(value) + 8 for key, value in entries.items())
    if weight <= 4096 or len(entries) == 1:
        return ("leaf", tuple(sorted(entries.items())))
    depth = 0
    while len({key[: depth + 1] for key in entries}) == 1 and all(len(key) > depth for key in entries):
        depth += 1
    prefix = next(iter(entries))[:depth]
    rest = sorted(key for key in entries if key != prefix)
    parts = groupby(rest, key=lambda key: key[depth])
    children = tuple((nibble, shape({key: entries[key] for key in keys})) for nibble, keys in parts)
    return ("branch", prefix, entries.get(prefix), children)


def shape_of(load, child: Child) -> tuple:
    """The shape that a root really has, in the same form."""
    node = load(child) if isinstance(child, Ref) else child
    if not hasattr(node, "children"):
        return ("leaf", tuple((k.hex(), v) for k, v in zip(node.keys, node.values, strict=True)))
    children = tuple(
        (f"{nibble:x}", shape_of(load, part)) for nibble, part in enumerate(node.children) if part is not None
    )
    return ("branch", node.prefix.hex()[: node.depth], node.ends and node.ends[0], children)


def weigh(form: tuple) -> tuple[int, int]:
    """(weight, count) of a shape."""
    if form[0] == "leaf":
        return sum(len(key) // 2 + len(value) + 8 for key, value in form[1]), len(form[1])
    sums = [weigh(child) for _, child in form[3]]
    if form[2] is not None:
        sums.append((len(form[1]) // 2 + len(form[2]) + 8, 1))
    return sum(s[0] for s in sums), sum(s[1] for s in sums)


def canonical_form(form: tuple) -> bytes:
    """The canonical bytes of a shape."""
    u16, u32, u64 = (lambda n, size=size: n.to_bytes(size, "little") for size in (2, 4, 8))
    if form[0] == "leaf":
        keys = [bytes.fromhex(key) for key, _ in form[1]]
        values = [value for _, value in form[1]]
        size = max(n for n in range(len(keys[0]) + 1) if all(key.startswith(keys[0][:n]) for key in keys))
        out = b"\x11" + u16(len(keys)) + u16(size)
        out += b"".join(u16(len(key) - size) for key in keys)
        out += b"".join((u32 if len(keys) == 1 else u16)(len(value)) for value in values)
        return out + keys[0][:size] + b"".join(key[size:] for key in keys) + b"".join(values)
    _, prefix, ends, children = form
    which = sum(1 << int(nibble, 16) for nibble, _ in children) + (0x10000 if ends is not None else 0)
    out = b"\x12" + u16(len(prefix)) + u32(which) + bytes.fromhex(prefix + "0" * (len(prefix) % 2))
    if ends is not None:
        out += u32(len(ends)) + ends
    for _, child in children:
        weight, count = weigh(child)
        out += identify(canonical_form(child)) + u64(weight) + u64(count)
    return out


# Few letters, so that keys are prefixes of one another and part at high and low halves of bytes; and keys as
# the volume has them.
_tangled = st.lists(st.sampled_from([0x00, 0x01, 0x0F, 0x10, 0x11, 0xF0, 0xFF]), max_size=6).map(bytes)
_volume = st.builds(
    lambda ino, kind, rest: ino.to_bytes(8, "big") + bytes([kind]) + rest,
    st.sampled_from([1, 2, 15, 16, 17, 255, 256, 1 << 48, (1 << 48) + 1]),
    st.integers(1, 4),
    st.sampled_from([b"", b"a", b"ab", b"b", bytes(8), b"\0\0\0\0\0\2\0\0", b"n" * 255]),
)
# Long runs of ones: what comes after a prefix then is a shorter key.
_carrying = st.builds(
    lambda first, ones, rest: bytes([first]) + b"\xff" * ones + rest,
    st.sampled_from([0x00, 0x01, 0x0F, 0x10]),
    st.integers(0, 3),
    st.sampled_from([b"", b"\xf0", b"\xf1", b"\x01", b"\x02"]),
)
keys = st.one_of(_tangled, _carrying, _volume)
values = st.builds(
    lambda size, fill: bytes([fill]) * size,
    st.sampled_from([0, 1, 9, 88, 700, 1500, 4080, 5000]),
    st.integers(0, 3),
)
hints = st.sampled_from([b"", bytes(16), b"h" * 16, b"x"])
entry = st.tuples(values, hints)
# Below a stem of their own, so that the root is a branch with a long prefix.
_stemmed = st.dictionaries(_tangled.map(lambda key: b"\x11\x10" + key), entry, max_size=30)
contents = st.one_of(
    st.dictionaries(keys, entry, max_size=30), _stemmed, st.dictionaries(_carrying, entry, max_size=20)
)
changes = st.dictionaries(keys, st.one_of(st.none(), entry), max_size=20)


def applied(before: dict[bytes, Entry], batch: dict[bytes, Entry | None]) -> dict[bytes, Entry]:
    return {key: entry for key, entry in {**before, **batch}.items() if entry is not None}
