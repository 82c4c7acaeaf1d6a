"""Verify finds lists of deaths that name what is needed."""

from dataclasses import replace

import pytest

from hyperfs.trie import block_of, point_of, walk_nodes
from hyperfs.volume import deaths
from hyperfs.volume.check import verify
from hyperfs.volume.commit_record import DeadChunk, DeadNode, Replaced

from .conftest import Store, inode_of, unlink, write_file


@pytest.mark.parametrize("wrong", ["node", "chunk", "twice"])
async def test_a_list_that_names_what_the_newest_version_needs_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    """A commit is made to say that it let go of something that the next one still has."""
    async with store.opened() as volume:
        inode = await write_file(volume, b"kept", bytes(range(256)) * 400)
        await volume.commit()
        (extent, *_) = volume.overlay.extents(inode, 0, 1 << 20)
        await write_file(volume, b"other", b"x" * 2000)
        before = await volume.commit()
        real = deaths.split_replaced

        def lie(replaced: Replaced, most: int) -> list[Replaced]:
            if wrong == "chunk":
                replaced.chunks.append(DeadChunk(extent.chunk, extent.log, extent.block, 0))
            elif wrong == "node":
                coming = point_of(volume.parts.metadata_log.length, 0)
                replaced.nodes.append(DeadNode(volume.parts.metadata_number, coming, 0))
            else:
                replaced.nodes.append(replace(before).replaced.nodes[0])
            return real(replaced, most)

        assert inode_of(volume, b"other").size == 2000
        assert [found for found in verify(volume.parts).damage if found.where != "file keys"] == []
        monkeypatch.setattr("hyperfs.volume.commit_writer.split_replaced", lie)
        unlink(volume, b"other")
        made = await volume.commit()
        found = [damage for damage in verify(volume.parts).damage if damage.where != "file keys"]
        assert ["let go of" in damage.what for damage in found] == [True]
        assert found[0].versions == (made.version,)


async def test_a_node_that_died_beside_one_that_is_needed_is_no_damage(store: Store) -> None:
    """They share a pack, and so a block."""
    async with store.opened() as volume:
        for number in range(200):
            await write_file(volume, b"%d" % number, b"bytes")
        await volume.commit()
        volume.xattrs.set(inode_of(volume, b"0"), b"user.note", b"new")
        commit = await volume.commit()
        needed = {ref.block for ref in walk_nodes(volume.parts.nodes.load, commit.root)}
        assert needed & {block_of(dead.point) for dead in commit.replaced.nodes}
        assert [found for found in verify(volume.parts).damage if found.where != "file keys"] == []
