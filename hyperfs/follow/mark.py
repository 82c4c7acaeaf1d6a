"""The attribute of INTO that says whose copy it is, so that nothing else is ever taken for it. JSON, in one line."""

import errno
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from hyperfs.errors import Corrupt
from hyperfs.follow.attributes import MARK
from hyperfs.follow.records import KEY_BYTES


@dataclass(frozen=True)
class Mark:
    """`name`: of the follow, and of its state file. `key`: seals the names in that. `folder`: what is followed."""

    name: str
    key: bytes
    folder: Path

    @classmethod
    def new(cls, folder: Path) -> "Mark":
        return cls(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), folder)

    def encode(self) -> bytes:
        return json.dumps({"name": self.name, "key": self.key.hex(), "folder": os.fspath(self.folder)}).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Mark":
        """Raises Corrupt."""
        try:
            facts = json.loads(data)
            name, key = str(facts["name"]), bytes.fromhex(facts["key"])
            if len(key) != KEY_BYTES or not name.isalnum():
                raise ValueError(name)
            return cls(name, key, Path(facts["folder"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Corrupt(f"the attribute {MARK} is none of a follow", advice="remove it, and use --force") from error


def read(fd: int) -> Mark | None:
    """Of an open folder; None if it has none."""
    try:
        data = os.getxattr(fd, MARK)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise
    return Mark.decode(data)


def write(fd: int, mark: Mark) -> None:
    os.setxattr(fd, MARK, mark.encode())
