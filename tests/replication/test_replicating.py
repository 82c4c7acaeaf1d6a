"""Logs between sides of ours, without a network: what arrives is true and durable, whoever lies or hangs up."""

import random
from pathlib import Path

import pytest

from hyperfs.crypto.keys import SigningKeyPair
from hyperfs.errors import BadRequest, Corrupt, Misbehaved
from hyperfs.log.heads import check_signature
from hyperfs.log.log import Log
from hyperfs.log.merkle import MerkleTree
from hyperfs.log.proof import BlockRequest, Request, TreeProof
from hyperfs.log.replica import Replica
from hyperfs.replication.own_log import OwnLog
from hyperfs.replication.replicating import Replicating

from .sides import MANIFEST, Side, connect, content, own_log, pump, replica, serves, takes


def whole(taking: Replica, count: int) -> bool:
    return list(taking.ranges()) == [(0, count)] and all(
        taking.get_verified(number) == content(number) for number in range(count)
    )


@pytest.mark.parametrize("count", [0, 1, 2, 300, 5000])
def test_a_log_arrives_whole(tmp_path: Path, count: int) -> None:
    log, taking = own_log(tmp_path / "own", count), replica(tmp_path / "there")
    target = takes(taking)
    pump(connect([serves(log)], [target]))
    head = taking.head()
    assert target.is_whole
    assert (head.tree_hash if head else None) == (log.head().tree_hash if count else None)
    assert whole(taking, count) or not count


def test_only_what_is_wanted_comes_and_the_most_urgent_first(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 400), replica(tmp_path / "there")
    target = takes(taking)
    target.want([(300, 303), (7, 9)])
    pair = connect([serves(log)], [target])
    pump(pair)
    assert list(taking.ranges()) == [(7, 9), (300, 303)]
    target.want([(0, 400)])
    pump(pair)
    assert whole(taking, 400)


def test_what_is_appended_and_let_go_is_told(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 20), replica(tmp_path / "there")
    gone: list[tuple[int, int]] = []
    source = Replicating(OwnLog(log, lambda: tuple(gone)), MANIFEST)
    target = takes(taking)
    pair = connect([source], [target])
    pump(pair)
    for start in (20, 21, 300):
        log.append([content(number) for number in range(log.length, start + 10)])
        log.flush()
        source.appended(0, log.length)
        pump(pair)
        assert whole(taking, log.length)
    gone.append((5, 9))
    source.cleared(5, 9)
    taking.clear(0, 100)
    late = replica(tmp_path / "late")
    third = takes(late)
    pump(pair, connect([third], [source], serial=2))
    assert list(late.ranges()) == [(0, 5), (9, 310)]


def test_one_that_is_no_writer_passes_on_what_it_has(tmp_path: Path) -> None:
    log, middle, end = own_log(tmp_path / "own", 300), replica(tmp_path / "middle"), replica(tmp_path / "end")
    between, target = takes(middle), takes(end)
    pump(connect([serves(log)], [between]), connect([between], [target], serial=2))
    assert whole(middle, 300)
    assert whole(end, 300)


def test_several_peers_share_the_work(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 1000), replica(tmp_path / "there")
    sources = [serves(log), serves(log), serves(log)]
    target = takes(taking)
    pairs = [connect([source], [target], serial) for serial, source in enumerate(sources)]
    served = [0, 0, 0]
    for number, source in enumerate(sources):
        answer = source._answer

        def counted(ask, number=number, answer=answer):  # type: ignore[no-untyped-def]
            served[number] += 1
            return answer(ask)

        source._answer = counted  # type: ignore[method-assign]
    pump(*pairs)
    assert whole(taking, 1000)
    assert sum(served) < 1010
    assert min(served) > 250


def test_two_logs_in_one_connection(tmp_path: Path) -> None:
    other_signer = SigningKeyPair(b"\x02" * 32)
    log, second = own_log(tmp_path / "own", 50), own_log(tmp_path / "second", 60, other_signer)
    taking, disk = replica(tmp_path / "there"), replica(tmp_path / "other")
    second_taking = Replica(disk._disk, "second", other_signer.public_key, 0)
    targets = [takes(taking), Replicating(second_taking, second.manifest, second_taking)]
    pump(connect([serves(log), serves(second)], targets))
    assert whole(taking, 50)
    assert whole(second_taking, 60)


@pytest.mark.parametrize("seed", range(6))
def test_cut_at_any_byte_it_goes_on_where_it_was(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    log, taking = own_log(tmp_path / "own", 500), replica(tmp_path / "there")
    cuts = 0
    while not (taking.length == 500 and whole(taking, 500)):
        pair = connect([serves(log)], [takes(taking)])
        pump(pair, most_bytes=source.choice([100, 300, 4000, 20_000, 60_000]))
        for side in pair:
            side.end()
        while pair[1].work():
            pass
        taking.close()
        taking = replica(tmp_path / "there")
        cuts += 1
        assert cuts < 200
    assert cuts > 2


class _Liar(Replicating):
    """Serves a log and changes what it answers."""

    def __init__(self, log: Log, change) -> None:  # type: ignore[no-untyped-def]
        super().__init__(OwnLog(log), MANIFEST)
        self._change = change

    def _answer(self, ask):  # type: ignore[no-untyped-def]
        answer = super()._answer(ask)
        return self._change(answer) if isinstance(answer, TreeProof) else answer


def flip(data: bytes, place: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def lie_in_block(proof: TreeProof) -> TreeProof:
    return proof._replace(block=proof.block._replace(value=flip(proof.block.value))) if proof.block else proof


def lie_in_node(proof: TreeProof) -> TreeProof:
    if not proof.block or not proof.block.nodes:
        return proof
    first, *rest = proof.block.nodes
    return proof._replace(block=proof.block._replace(nodes=(first._replace(hash=flip(first.hash)), *rest)))


def lie_in_signature(proof: TreeProof) -> TreeProof:
    upgrade = proof.upgrade
    return proof._replace(upgrade=upgrade._replace(signature=flip(upgrade.signature, 40))) if upgrade else proof


@pytest.mark.parametrize("change", [lie_in_block, lie_in_node, lie_in_signature])
def test_attack_m01_who_changes_a_bit_is_hung_up_on_and_an_honest_peer_gives_the_rest(  # type: ignore[no-untyped-def]
    tmp_path: Path, change
) -> None:
    log, taking = own_log(tmp_path / "own", 200), replica(tmp_path / "there")
    target = takes(taking)
    lied, honest = connect([_Liar(log, change)], [target], 1), connect([serves(log)], [target], 2)
    pump(lied)
    assert isinstance(lied[1].error, Corrupt)
    pump(lied, honest)
    assert honest[1].error is None
    assert whole(taking, 200)


def test_attack_m02_a_valid_block_of_another_place_is_refused(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 200), replica(tmp_path / "there")
    other = log.proof(Request(BlockRequest(13, 0)))

    def swap(proof: TreeProof) -> TreeProof:
        if not proof.block or not other.block:
            return proof
        return proof._replace(block=proof.block._replace(value=other.block.value))

    pair = connect([_Liar(log, swap)], [takes(taking)])
    pump(pair)
    assert isinstance(pair[1].error, Corrupt)
    assert set(taking.ranges()) <= {(13, 14)}


def test_attack_m04_two_histories_by_one_key_are_found_out_with_the_proof_of_it(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 100), replica(tmp_path / "there")
    target = takes(taking)
    pump(connect([serves(log)], [target]))
    other = own_log(tmp_path / "other", 150, make=lambda number: b"another history %d" % number)
    pair = connect([serves(other)], [target], 2)
    pump(pair)
    assert isinstance(pair[1].error, Corrupt)
    assert whole(taking, 100)
    (proof,) = target.contradictions
    assert proof.upgrade is not None
    tree = MerkleTree(proof.upgrade.nodes)
    for node in proof.upgrade.additional:
        tree.join(node)
    assert tree.length == 150
    assert check_signature(MANIFEST, tree.hash(), tree.length, proof.fork, proof.upgrade.signature)


def test_attack_m06_another_log_under_the_same_discovery_key_is_not_joined(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 10), replica(tmp_path / "there")
    wrong = serves(own_log(tmp_path / "wrong", 10, SigningKeyPair(b"\x09" * 32)))
    target = takes(taking)
    pair = connect([wrong], [target])
    pair[0].logs[log.discovery_key] = wrong
    pump(pair)
    assert pair[0].exchanges == []
    assert taking.length == 0
    with pytest.raises(BadRequest, match="not that of the log"):
        Replicating(OwnLog(log), wrong.manifest)


def test_who_answers_nothing_is_not_waited_for(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 300), replica(tmp_path / "there")
    target = takes(taking)
    silent = connect([serves(log)], [target], 1)
    pump(silent)
    assert whole(taking, 300)
    log.append([content(number) for number in range(300, 400)])
    log.flush()
    silent[0].logs[log.discovery_key].appended(300, 400)
    silent[0].work = lambda: False  # type: ignore[method-assign]
    pump(silent)
    target.tick()
    target.tick()
    honest = connect([serves(log)], [target], 2)
    pump(honest)
    assert whole(taking, 400)


def test_a_peer_that_never_has_what_it_offers_is_not_asked_for_ever(tmp_path: Path) -> None:
    log, taking = own_log(tmp_path / "own", 50), replica(tmp_path / "there")
    boaster = serves(log)
    boaster.held = OwnLog(log, lambda: ((10, 20),))  # it announced all of them
    target = takes(taking)
    pair = connect([boaster], [target])
    pump(pair)
    assert list(taking.ranges()) == [(0, 10), (20, 50)]
    assert pair[1].error is None


def test_nonsense_is_borne_for_a_while(tmp_path: Path) -> None:
    log = own_log(tmp_path / "own", 50)
    source = serves(log)
    pair: tuple[Side, Side] = connect([source], [takes(replica(tmp_path / "there"))])
    pump(pair)
    (_, asking), (_, exchange) = pair[1].exchanges[0], pair[0].exchanges[0]
    for number in range(64):
        assert pair[0].error is None, number
        asking.ask(Request(BlockRequest(3, 40)))
        pump(pair)
    assert isinstance(pair[0].error, Misbehaved)
    assert exchange.remote.length == 50


def once(source: Replicating, target: Replicating) -> None:
    """A connection that ends when it has nothing more to say."""
    pair = connect([source], [target])
    pump(pair)
    for side in pair:
        side.end()


def test_two_halves_make_two_wholes(tmp_path: Path) -> None:
    log = own_log(tmp_path / "own", 300)
    left, right = replica(tmp_path / "left"), replica(tmp_path / "right")
    for taking, part in ((left, (0, 150)), (right, (150, 300))):
        half = takes(taking)
        half.want([part])
        once(serves(log), half)
        assert list(taking.ranges()) == [part]
    one, other = takes(left), takes(right)
    pump(connect([one], [other], 2))
    assert whole(left, 300)
    assert whole(right, 300)
    assert one.is_whole
    assert other.is_whole


@pytest.mark.parametrize("seed", range(4))
def test_what_is_scattered_over_many_peers_comes_together(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    log = own_log(tmp_path / "own", 400)
    parts = []
    for number in range(4):
        taking = replica(tmp_path / f"part {number}")
        part = takes(taking)
        starts = source.sample(range(0, 400, 5), 40)
        part.want([(start, start + 5) for start in sorted(starts)])
        once(serves(log), part)
        parts.append((taking, part))
    pairs = [
        connect([one], [other], 10 + 4 * number + further)
        for number, (_, one) in enumerate(parts)
        for further, (_, other) in enumerate(parts[number + 1 :])
    ]
    there = {block for taking, _ in parts for start, end in taking.ranges() for block in range(start, end)}
    for _, part in parts:
        part.want([(0, 400)])
    pump(*pairs)
    for taking, _ in parts:
        assert {block for start, end in taking.ranges() for block in range(start, end)} == there
        assert all(taking.get_verified(block) == content(block) for block in there)
