"""A drive as plain dictionaries, and what was deleted from each of its folders."""

from dataclasses import dataclass, field

NAMES = [b"a", b"b.txt", b"c", b"d"]


@dataclass
class Folder:
    names: dict[bytes, "Folder | File"] = field(default_factory=dict)

    def copy(self) -> dict[bytes, object]:
        names = sorted(self.names.items())
        return {name: child.copy() if isinstance(child, Folder) else child.data for name, child in names}


@dataclass
class File:
    data: bytes


Thing = Folder | File
State = dict[int, dict[bytes, tuple[Thing, object]]]
"""By folder, its names: what each means, and what that held."""


@dataclass
class Model:
    """The drive as plain dictionaries; each thing is itself, whatever it is called."""

    root: Folder = field(default_factory=Folder)
    states: list[State] = field(default_factory=list)

    def folders(self) -> list[tuple[bytes, Folder]]:
        found = [(b"", self.root)]
        for path, folder in found:
            found += [(path + b"/" + name, c) for name, c in folder.names.items() if isinstance(c, Folder)]
        return found

    def note(self) -> None:
        self.states.append(
            {
                id(folder): {n: (c, c.copy() if isinstance(c, Folder) else c.data) for n, c in folder.names.items()}
                for _, folder in self.folders()
            }
        )

    def deleted(self, folder: Folder) -> list[tuple[bytes, object]]:
        """(name, what it held) of all that was deleted from a folder and did not come back."""
        found: list[tuple[bytes, object]] = []
        seen: set[tuple[bytes, int]] = set()
        for old, new in reversed(list(zip(self.states, self.states[1:], strict=False))):
            here = new.get(id(folder), {})
            alive = {id(thing) for names in new.values() for thing, _ in names.values()}
            for name, (thing, held) in old.get(id(folder), {}).items():
                now = here[name][0] if name in here else None
                goes_on = isinstance(now, File) and isinstance(thing, File)
                if now is thing or goes_on or id(thing) in alive or (name, id(thing)) in seen:
                    continue
                seen.add((name, id(thing)))
                found.append((name, held))
        return found
