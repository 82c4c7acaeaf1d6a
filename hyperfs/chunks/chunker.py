"""Where to cut bytes into chunks: by content, so that an insertion moves no cut but those near it.

FastCDC 2020 with 32 / 128 / 256 KiB (least, aimed at, most; on random bytes the mean is about 150 KiB).
Cuts are no part of the format: a reader takes chunks of any length. But two versions of hyperfs that cut
differently find no duplicates of each other's chunks, so these numbers are changed only with a reason.
"""

import threading
from typing import Final

from pyfastcdc import FastCDC

from hyperfs.crypto.keys import derive

MIN_CHUNK_BYTES: Final = 32 << 10
AVG_CHUNK_BYTES: Final = 128 << 10
MAX_CHUNK_BYTES: Final = 256 << 10

# pyfastcdc shifts the seed left by one in 64 bits.
SEED_BITS: Final = 63
_SEED_DOMAIN: Final = b"hyperfs/v1/drive/chunker-seed"


def chunker_seed(chunk_id_key: bytes) -> int:
    """The drive's seed, from its drive-lifetime chunk id key (32 bytes).

    Block sizes are visible to whoever holds the log. With a seed of the drive's own, the sizes of a known
    file's chunks can't simply be looked up. It is no strong secrecy: the seed only changes a gear table by
    XOR. It must stay the same for the drive's life, or nothing is found again as a duplicate.
    """
    secret = derive(chunk_id_key, _SEED_DOMAIN)
    return int.from_bytes(secret[:8], "little") >> (64 - SEED_BITS)


class Chunker:
    """Cuts; may be used by several threads at once."""

    def __init__(self, seed: int = 0) -> None:
        """`seed` in [0, 2**63)."""
        self._seed = seed
        self._local = threading.local()  # pyfastcdc promises nothing about sharing one FastCDC

    def cut(self, data: bytes | bytearray | memoryview, final: bool) -> list[int]:
        """The end offsets of the chunks of `data`, ascending; with `final`, the last one is `len(data)`.

        Without `final` more bytes are to come, and only those cuts are given that no later byte can move:
        the caller keeps what is behind the last one (at most 256 KiB - 1) and gives it again, in front of
        the bytes that follow. The cuts of a stream so fed are those of the whole.
        """
        ends = [chunk.offset + chunk.length for chunk in self._fastcdc().cut_buf(data)]
        if not final and ends:
            last = ends[-1] - (ends[-2] if len(ends) > 1 else 0)
            # A cut found by content lies before the end of the data, so the last end is only the data's
            # own, unless the chunk has its greatest length.
            if last < MAX_CHUNK_BYTES:
                ends.pop()
        return ends

    def _fastcdc(self) -> FastCDC:
        cutter: FastCDC | None = getattr(self._local, "cutter", None)
        if cutter is None:
            cutter = FastCDC(
                AVG_CHUNK_BYTES,
                min_size=MIN_CHUNK_BYTES,
                max_size=MAX_CHUNK_BYTES,
                normalized_chunking=1,
                seed=self._seed,
            )
            self._local.cutter = cutter
        return cutter
