"""A process that takes blocks into a cloud peer's folder until it is killed: `kill_worker.py OWNER PEER SEED`.

After each sync it writes `had LOG BLOCK...`, after each chain `chain RECORDS`: what was acknowledged.
"""

import random
import sys
from pathlib import Path

from hyperfs.log.log import Log
from hyperfs.peer.folder_store import FolderStore
from hyperfs.peer.peer import Peer
from hyperfs.store.files import Disk
from tests.log.replicating import bring, grow
from tests.peer.conftest import CONTENT, METADATA, PEER_KEY, key


def main(owner: Path, folder: Path, seed: str) -> None:
    rng = random.Random(seed)
    chain = (owner / "control").read_bytes()
    drive_id = bytes.fromhex((owner / "id").read_text())
    logs = {
        number: Log.open(Disk(owner), f"log{number}", key(f"drive log {number}").public_key, number=number)
        for number in (METADATA, CONTENT)
    }
    drive = Peer(FolderStore(folder), PEER_KEY, floor_bytes=0).admit(drive_id)
    drive.offer_chain(chain)
    print("chain", len(drive.chain.records if drive.chain is not None else ()), flush=True)
    while True:
        number = rng.choice((METADATA, CONTENT))
        log, lent = logs[number], drive.lend(logs[number].discovery_key)
        if lent.length < log.signed_length:
            grow(log, lent)
        few = rng.sample(range(log.signed_length), rng.randrange(1, 20))
        bring(log, lent, *few)
        if rng.random() < 0.8:
            lent.sync()
            print("had", number, *few, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
