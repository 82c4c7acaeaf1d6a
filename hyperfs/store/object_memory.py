"""The object store's twin in memory, for tests: objects live as long as it does."""

import threading
from collections.abc import Iterator
from hashlib import md5

from hyperfs.errors import NoSuchObject, Unreachable
from hyperfs.store.objects import ObjectInfo


class MemoryObjects:
    """A dictionary behind a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, bytes] = {}
        self.classes: dict[str, str] = {}
        """In which class of its own each object was put."""

    def prepare(self) -> None:
        """There is nothing to do."""

    def put(self, name: str, data: bytes, storage_class: str = "") -> bool:
        with self._lock:
            self._objects[name] = bytes(data)
            self.classes[name] = storage_class
        return True

    def read(self, name: str, start: int, end: int) -> bytes:
        data = self._get(name)[start:end]
        if len(data) != end - start:
            raise Unreachable(f"the object {name} ends before byte {end}")
        return data

    def info(self, name: str) -> ObjectInfo:
        return _info(name, self._get(name))

    def list(self, folder: str) -> Iterator[ObjectInfo]:
        with self._lock:
            found = [_info(name, data) for name, data in self._objects.items() if name.startswith(folder + "/")]
        yield from found

    def remove(self, name: str) -> None:
        with self._lock:
            self._objects.pop(name, None)

    def _get(self, name: str) -> bytes:
        with self._lock:
            if name not in self._objects:
                raise NoSuchObject(f"there is no object {name}")
            return self._objects[name]


def _info(name: str, data: bytes) -> ObjectInfo:
    return ObjectInfo(name, len(data), md5(data, usedforsecurity=False).hexdigest())
