"""Recovery shares: a root seed in pieces, of which some give it back and fewer tell nothing. SLIP-39's words.

A passphrase that does not fit gives another secret in silence there; so a check of the seed is in it as well.
The page is docs/formats/keys.md. The randomness of shares is the library's own.
"""

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations, islice, zip_longest
from typing import Final

from shamir_mnemonic import MnemonicError, Share, generate_mnemonics, recover_ems
from shamir_mnemonic.shamir import ShareGroup
from shamir_mnemonic.wordlist import WORDLIST

from hyperfs.crypto.keys import KEY_BYTES, RootSeed, derive
from hyperfs.errors import BadRecoveryKey

SHARES_MOST: Final = 16
THRESHOLD_LEAST: Final = 2
WORDS: Final = 39
PASSPHRASE_BYTES_MOST: Final = 1024
TEXT_CHARACTERS_MOST: Final = 8192

_CHECK: Final = b"hyperfs/v1/root/share-check"
_CHECK_BYTES: Final = 8
_EXPONENT: Final = 5
"""10,000 << 5 rounds of PBKDF2, where there is a passphrase that somebody could guess at."""
_EXPONENT_MOST: Final = 8
_TRIES_MOST: Final = 2_000
"""Choices of shares that are tried where there are more than are needed."""
_WORDS: Final = frozenset(WORDLIST)
_BY_START: Final = {word[:4]: word for word in WORDLIST}
_PAIR: Final = re.compile(r"([0-9]{1,2})[.:)]?\s+([^\W\d_]+)")
_NUMBERED: Final = re.compile(rf"\s*(?:{_PAIR.pattern}(?:\s+|$))+")


@dataclass(frozen=True)
class Combined:
    """`odd`: places, from 0, of the shares that do not belong to what the others give."""

    root: RootSeed
    odd: tuple[int, ...]


def split(root: RootSeed, count: int, threshold: int, passphrase: bytes = b"") -> list[str]:
    """So many shares of 39 words, of which `threshold` give the root back. They are secrets: show them once.

    ValueError for numbers out of bounds, and for a passphrase that is not printable ASCII.
    """
    if not THRESHOLD_LEAST <= threshold <= count <= SHARES_MOST:
        raise ValueError(
            f"there can be up to {SHARES_MOST} shares, of which {THRESHOLD_LEAST} at least are needed, and all at most"
        )
    check_passphrase(passphrase)
    secret = root.seed + _check_of(root)
    exponent = _EXPONENT if passphrase else 0
    shares: list[str] = generate_mnemonics(1, [(threshold, count)], secret, passphrase, iteration_exponent=exponent)[0]
    return shares


def check_passphrase(passphrase: bytes) -> None:
    """ValueError for what SLIP-39 does not take, or nobody could have meant."""
    if len(passphrase) > PASSPHRASE_BYTES_MOST or any(not 32 <= byte <= 126 for byte in passphrase):
        raise ValueError(f"a passphrase of shares has up to {PASSPHRASE_BYTES_MOST} printable ASCII characters")


def read(text: str) -> Share:
    """One share, as words or as the card of it. BadRecoveryKey says what is wrong with it."""
    if len(text) > TEXT_CHARACTERS_MOST:
        raise BadRecoveryKey(f"a share has {WORDS} words; this text is far longer")
    words = [_word(word, place) for place, word in enumerate(_words_of(text), 1)]
    if len(words) != WORDS:
        raise BadRecoveryKey(f"a share of hyperfs has {WORDS} words; here are {len(words)}")
    try:
        share = Share.from_mnemonic(" ".join(words))
    except MnemonicError:
        raise BadRecoveryKey(
            "each word may be in a share, and all of them together are none: one is another one, or two are exchanged"
        ) from None
    if share.group_count != 1 or share.iteration_exponent > _EXPONENT_MOST:
        raise BadRecoveryKey("this is a share of something else: hyperfs makes no such ones")
    return share


def combine(shares: Sequence[Share], passphrase: bytes = b"") -> Combined:
    """The root seed of at least as many shares as are needed. BadRecoveryKey says which are wrong, or how many lack."""
    check_passphrase(passphrase)
    _check_same_set(shares)
    needed = shares[0].member_threshold
    different = list(dict.fromkeys(shares))
    if len(different) < needed:
        here = f"{len(different)} {'is' if len(different) == 1 else 'are'} here"
        raise BadRecoveryKey(f"{needed} different shares are needed, and {here}")
    fits = False
    for chosen in islice(combinations(different, needed), _TRIES_MOST):
        group = ShareGroup()
        group.shares = set(chosen)
        try:
            sealed = recover_ems({0: group})
        except MnemonicError:
            continue
        fits = True
        secret = sealed.decrypt(passphrase)
        root = RootSeed(secret[:KEY_BYTES])
        if hmac.compare_digest(secret[KEY_BYTES:], _check_of(root)):
            return Combined(root, tuple(_odd(shares, chosen)))
    if not fits:
        raise BadRecoveryKey(
            "each share is whole, and they do not belong together: at least one was changed. "
            "With more shares than are needed the wrong one would be found"
        )
    hint = "this is not the passphrase" if passphrase else "these shares need the passphrase"
    raise BadRecoveryKey(f"{hint} that was given when they were made")


def _check_same_set(shares: Sequence[Share]) -> None:
    if not shares:
        raise BadRecoveryKey("no share is given")
    first = shares[0].group_parameters()
    for place, share in enumerate(shares, 1):
        if share.group_parameters() != first or len(share.value) != len(shares[0].value):
            raise BadRecoveryKey(f"share {place} is of another set than the first one: they begin with other words")


def _odd(shares: Sequence[Share], chosen: Sequence[Share]) -> Iterable[int]:
    """Those that are not on the same curve: each is tried in the place of one that is."""
    for place, share in enumerate(shares):
        if share in chosen:
            continue
        group = ShareGroup()
        group.shares = {share, *chosen[1:]}
        try:
            recover_ems({0: group})
        except MnemonicError:
            yield place


def _check_of(root: RootSeed) -> bytes:
    return derive(root.seed, _CHECK)[:_CHECK_BYTES]


def _words_of(text: str) -> list[str]:
    """Of a card, what stands in lines that are nothing but numbers and words, by number; else all words."""
    lines = [line for line in text.splitlines() if _NUMBERED.fullmatch(line)]
    if not lines:
        return re.findall(r"[^\W\d_]+", text)
    pairs = [(int(number), word) for line in lines for number, word in _PAIR.findall(line)]
    words = dict(pairs)
    missing = next((number for number in range(1, WORDS + 1) if number not in words), None)
    if missing is not None or len(pairs) != WORDS:
        what = f"word {missing} is missing" if missing is not None else f"here are {len(pairs)}, some number twice"
        raise BadRecoveryKey(f"a share has {WORDS} words, with numbers from 1 to {WORDS}: {what}")
    return [words[number] for number in range(1, WORDS + 1)]


def _word(word: str, place: int) -> str:
    known = word.lower()
    if known in _WORDS:
        return known
    if len(known) == 4 and known in _BY_START:
        return str(_BY_START[known])
    near = get_close_matches(known, [other for other in WORDLIST if other[0] == known[0]], 1)  # of all it takes long
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise BadRecoveryKey(f"word {place} ({word[:20]!r}) is in no share{hint}")


def card_text(share: str, number: int, count: int, drive_name: str, drive_id: bytes, made: str) -> str:
    """One share to print or copy by hand: ASCII but for the drive's name. `made`: the date, in words."""
    words = share.split()
    rows = (len(words) + 2) // 3
    columns = [words[at : at + rows] for at in range(0, len(words), rows)]
    numbered = [
        [f"{at + 1 + column * rows:2} {word:<8}" for at, word in enumerate(part)]
        for column, part in enumerate(columns)
    ]
    table = ["   ".join(row) for row in zip_longest(*numbered, fillvalue="")]
    needed = read(share).member_threshold
    return "\n".join(
        [
            f"HYPERFS RECOVERY SHARE {number} OF {count}",
            "",
            f"drive  {' '.join(drive_name.split())}",
            f"id     {drive_id.hex()[:32]}",
            f"       {drive_id.hex()[32:]}",
            f"made   {' '.join(made.split())}",
            "",
            *(line.rstrip() for line in table),
            "",
            f"Whoever has {needed} of the {count} shares can read the whole drive and admit",
            "devices to it; fewer tell nothing. Give them to people and places apart.",
            "",
            "To use them:  hyperfs key recover --share FILE --share FILE ...",
            "",
        ]
    )
