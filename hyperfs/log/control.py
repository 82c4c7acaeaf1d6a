"""The control chain of a drive: its public, signed, ordered history of devices, logs, keys and clears.

Each record names its sequence and the hash of the one before, so a chain has one past; the id of the drive is
the hash of the first record, a roster. Everything is verified when a chain is parsed or grows: a Chain that
exists keeps all rules (control_rules.py). Pure values: append gives a new chain. The file `control` is small
and is replaced as a whole (Disk.replace), so a crash leaves the old chain or the new one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from hyperfs.errors import Corrupt, Refused
from hyperfs.log import control_codec as codec
from hyperfs.log import control_rules as rules
from hyperfs.log.control_codec import Body, Clear, Device, Epoch, LogEntry, Record, Roster, sign_record
from hyperfs.log.heads import Signer

_FIRST: Final = bytes(32)


@dataclass(frozen=True)
class Chain:
    """A verified control chain. Made by start, parse and append only."""

    records: tuple[Record, ...]
    last_hash: bytes
    state: rules.State

    @classmethod
    def start(cls, roster: Roster, root: Signer) -> "Chain":
        """The chain of a new drive. Refused for a roster that breaks the rules."""
        return cls._first(sign_record(root, codec.ROOT, 0, _FIRST, roster))

    @classmethod
    def parse(cls, data: bytes, expect_drive_id: bytes | None = None) -> "Chain":
        """The chain that the file `control` holds, verified from its first record on. Corrupt, FormatTooNew.

        Without `expect_drive_id` it is a whole and well-signed chain of *some* drive.
        """
        return cls.parse_records(codec.decode_file(data), expect_drive_id)

    @classmethod
    def parse_records(cls, records: Sequence[Record], expect_drive_id: bytes | None = None) -> "Chain":
        """As parse, of records that were decoded."""
        if not records:
            raise Corrupt("the control chain is empty", "file control")
        try:
            chain = cls._first(records[0]).extend(records[1:])
        except Refused as error:
            raise Corrupt("the control chain breaks its rules", "file control", str(error)) from error
        if expect_drive_id is not None and chain.drive_id != expect_drive_id:
            raise Corrupt("the control chain is that of another drive", f"drive {chain.drive_id.hex()}")
        return chain

    def encode(self) -> bytes:
        """The whole file `control`."""
        return codec.encode_file(self.records)

    def make(self, body: Body, signer: Signer, signer_number: int = codec.ROOT) -> Record:
        """The next record with this body, signed by the root or by the device of that number."""
        return sign_record(signer, signer_number, len(self.records), self.last_hash, body)

    def append(self, record: Record) -> "Chain":
        """The chain with one more record. Refused, with the rule, if it may not follow."""
        rules.need(record.sequence == len(self.records), f"record {record.sequence} after {len(self.records)}")
        rules.need(record.previous == self.last_hash, "a record that follows another one than the last")
        rules.need(rules.is_signed(self.state, record), f"record {record.sequence} is not signed as it says")
        return Chain((*self.records, record), record.hash(), rules.follow(self.state, record))

    def extend(self, records: Iterable[Record]) -> "Chain":
        """All of them appended in turn."""
        chain = self
        for record in records:
            chain = chain.append(record)
        return chain

    def continues(self, older: "Chain") -> bool:
        """Whether `older` is a beginning of this chain or all of it: only then may this take its place."""
        return self.records[: len(older.records)] == older.records

    @property
    def drive_id(self) -> bytes:
        return self.state.drive_id

    @property
    def root_key(self) -> bytes:
        return self.state.root_key

    @property
    def recovery_key(self) -> bytes:
        """X25519 public key of the recovery key."""
        return self.state.recovery_key

    @property
    def devices(self) -> Mapping[int, Device]:
        return self.state.devices

    @property
    def logs(self) -> Mapping[int, LogEntry]:
        return self.state.logs

    @property
    def epochs(self) -> Mapping[int, Epoch]:
        return self.state.epochs

    @property
    def intents(self) -> Mapping[int, Clear]:
        return self.state.intents

    def newest_epoch(self) -> Epoch | None:
        return self.epochs[max(self.epochs)] if self.epochs else None

    def sealed_copies(self, recipient: bytes) -> dict[int, bytes]:
        """Sealed epoch keys by epoch for an X25519 public key: a device's or the recovery key's."""
        return {
            number: copy.sealed
            for number, epoch in self.epochs.items()
            for copy in epoch.copies
            if copy.recipient == recipient
        }

    @classmethod
    def _first(cls, record: Record) -> "Chain":
        roster = record.body
        if not isinstance(roster, Roster):
            raise Refused("a control chain that does not begin with a roster")
        rules.need(record.sequence == 0 and record.previous == _FIRST, "a first record that follows another")
        rules.need(record.signer == codec.ROOT, "a first record that the root did not sign")
        rules.need(record.signed_by(roster.root_key), "a first roster that its own root key did not sign")
        drive_id = record.hash()
        return cls((record,), drive_id, rules.first(roster, drive_id))
