"""guard_node with its two arms in one process: a virtual bus does not leave the process it is in.

Orders come line by line on standard input as JSON, ``{"arm": "left", "do": "stop_at_once"}`` or with
``"set"`` and ``"value"``; ``{"tell": "left"}`` answers with what the firmware has received. The program's
arguments are those of guard_node.
"""

from __future__ import annotations

import json
import sys
import threading

from support.piper_firmware import PiperFirmware, switch_bus
from svam_ros.cobot import ARM_NAMES, load_cobot
from svam_ros.drivers.piper_units import to_wire
from svam_ros.nodes.guard_node import main

CHANNELS = {arm: f"virtual_{arm}" for arm in ARM_NAMES}


def obey(arms: dict[str, PiperFirmware]) -> None:
    for line in sys.stdin:
        order = json.loads(line)
        answer: object = True
        if "tell" in order:
            arm = arms[order["tell"]]
            answer = {
                "wires": [received.wire for received in arm.received],
                "modes": sorted({received.mode for received in arm.received}),
                "powered": [received.powered for received in arm.received],
                "measured": [received.measured for received in arm.received],
                "frames": {f"{frame:X}": count for frame, count in arm.frames.items()},
                "position": arm.position,
                "is_powered": arm.is_powered,
            }
        elif "bus_on" in order:
            switch_bus(CHANNELS[order["arm"]], order["bus_on"])
        elif "set" in order:
            setattr(arms[order["arm"]], order["set"], order["value"])
        else:
            getattr(arms[order["arm"]], order["do"])()
        print("answer", json.dumps(answer), flush=True)


def run() -> int:
    cobot = load_cobot()
    arms = {
        arm: PiperFirmware(channel, to_wire(cobot.home[cobot.arm_slice(arm)]))
        for arm, channel in CHANNELS.items()
    }
    threading.Thread(target=obey, args=(arms,), daemon=True).start()
    code = main()
    for arm in arms.values():
        arm.close()
    return code


if __name__ == "__main__":
    raise SystemExit(run())
