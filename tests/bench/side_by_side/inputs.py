"""What is written: made from a seed or taken from a tree, outside the folders under test, with its SHA-256."""

import hashlib
import random
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
_STRETCH: Final = 64 << 10
SEED: Final = 11


class Inputs:
    """Made once a run. `scale` 1 is half a GiB of bytes, 5,000 small files and a folder of 20,000 entries."""

    def __init__(self, folder: Path, scale: float, tree: Path) -> None:
        self.blob_mib = max(8, round(512 * scale))
        self.small_files = max(100, round(5000 * scale))
        self.entries = max(200, round(20_000 * scale))
        self.syncs = max(50, round(300 * scale))
        self.random_pieces = max(500, round(16_384 * scale))
        self.blob = folder / "blob"
        self._make_blob()
        self.tree = folder / "tree"
        ignored = shutil.ignore_patterns("__pycache__", "site-packages", "*.pyc", "*.so", "*.a")
        shutil.copytree(tree, self.tree, ignore=ignored, symlinks=True)
        self.tar = folder / "tree.tar"
        with tarfile.open(self.tar, "w") as archive:
            archive.add(self.tree, ".", filter=_without_owner)
        self.repository = folder / "repository"
        shutil.copytree(self.tree, self.repository, symlinks=True)
        for command in ("init", "add -A", "commit -m tree"):
            git(self.repository, *command.split())

    def _make_blob(self) -> None:
        """Half of it can't be compressed, half is words: 64 KiB of each by turns."""
        rng = random.Random(SEED)
        letters = b"abcdefghijklmnopqrstuvwxyz"
        words = [bytes(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(2000)]
        with self.blob.open("wb") as file:
            for _ in range(self.blob_mib * MIB // (2 * _STRETCH)):
                file.write(rng.randbytes(_STRETCH))
                file.write(b" ".join(rng.choices(words, k=16_000))[:_STRETCH])

    def digests(self) -> dict[str, str]:
        """SHA-256 by name, so that somebody else can tell whether it was the same work."""
        return {path.name: sha256(path) for path in (self.blob, self.tar)}

    def warm(self, path: Path) -> None:
        """Reads all of it, so that no row pays for reading its input."""
        files = [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]
        for file in files:
            file.read_bytes()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "safe.directory=*"]
    environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "PATH": "/usr/bin:/bin"}
    subprocess.run(["git", *settings, "-C", folder, *arguments], check=True, capture_output=True, env=environment)


def _without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
