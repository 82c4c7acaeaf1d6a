"""The devices of a drive, by its control chain."""

from hyperfs.daemon.drive import Drive
from hyperfs.daemon.wire import Message, Tell
from hyperfs.log.control_codec import REVOKED
from hyperfs.volume import writers
from hyperfs.volume.status import device_name


async def list_devices(drive: Drive, params: Message, tell: Tell) -> Message:
    """`writes`: the one that may. `logs`: their numbers."""
    volume = drive.volume
    chain = volume.parts.chain
    writer = volume.device if volume.parts.why_read_only is None else writers.writer(chain)
    return {
        "devices": [
            {
                "number": device.number,
                "name": device_name(volume, device.number),
                "this": device.number == volume.device,
                "revoked": device.state == REVOKED,
                "writes": device.number == writer,
                "logs": [entry.number for entry in chain.logs.values() if entry.device == device.number],
            }
            for device in chain.devices.values()
        ]
    }
