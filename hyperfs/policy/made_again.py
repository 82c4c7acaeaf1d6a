"""What programs make and can make again: folders in which nothing that goes is a loss, and those in which deleting is
somebody's work. By names, which is all that there is to go by. Pure."""

from typing import Final

MADE_AGAIN: Final = frozenset(
    {
        b"node_modules",
        b"bower_components",
        b"__pycache__",
        b".cache",
        b".npm",
        b".yarn",
        b".pnpm-store",
        b".gradle",
        b".m2",
        b".tox",
        b".nox",
        b".venv",
        b".mypy_cache",
        b".ruff_cache",
        b".pytest_cache",
        b".hypothesis",
        b".next",
        b".nuxt",
        b".parcel-cache",
        b".turbo",
        b".ccache",
        b".thumbnails",
        b"Cache",
        b"Caches",
        b"cache2",
        b"Code Cache",
        b"GPUCache",
        b"CacheStorage",
        b"CachedData",
    }
)
"""Folders of these names hold what is made again: nothing in them counts."""

WORKED_ON: Final = frozenset(
    {
        b".git",
        b".hg",
        b".svn",
        b".jj",
        b".bzr",
        b"package.json",
        b"Makefile",
        b"makefile",
        b"GNUmakefile",
        b"CMakeLists.txt",
        b"CMakeCache.txt",
        b"configure.ac",
        b"meson.build",
        b"build.ninja",
        b"Cargo.toml",
        b"go.mod",
        b"pyproject.toml",
        b"setup.py",
        b"pom.xml",
        b"build.gradle",
        b"build.gradle.kts",
        b"composer.json",
        b"Gemfile",
        b"WORKSPACE",
        b"pyvenv.cfg",
        b"CACHEDIR.TAG",
        b"MODULE.bazel",
    }
)
"""A folder that has one of these is worked on by version control or a build, or is a cache: it and all below it. They
delete by the thousand (another branch, `make clean`), and what they delete can be had again. So deleting alone does not
count there; overwriting does."""

KEEPERS: Final = frozenset({b".git", b".hg", b".svn", b".jj", b".bzr"})
"""In folders of these names the same holds, though nothing in them says so."""
_SEPARATORS: Final = b".~-_ ("


def stem_of(name: bytes) -> bytes:
    """A name without its ending."""
    stem, dot, _ = name.rpartition(b".")
    return stem if dot and stem else name


def goes_on_as(name: bytes, other: bytes) -> bool:
    """Whether a file that lies beside it, by its name, stands for one that was deleted: `a.log.gz` for `a.log`, `a.jpg`
    for `a.png`, `a.c` for `a.o`."""
    if other == name:
        return False
    stem = stem_of(name)
    if other == stem or (stem != name and other.startswith(stem + b".")):
        return True
    return other.startswith(name) and other[len(name) : len(name) + 1] in [bytes([s]) for s in _SEPARATORS]
