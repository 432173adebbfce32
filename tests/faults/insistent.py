"""A publisher as a process that insists: `python -m tests.faults.insistent`.

It works in the scenario's folder, and sends every event until it is acknowledged, with the same id
each time, until the file `enough` is there. It ends with an error when a call does not return or
raise within its deadline.
"""

from __future__ import annotations

import asyncio
import sys
import time
from itertools import count
from pathlib import Path

from tests.faults.stage import TOPIC, TYPE
from vectis.core import Hub
from vectis.core.exceptions import PublishError

ENOUGH = Path("enough")
WRITERS = 20
KEYS = 3  # of each writer
PACE = 0.05  # seconds between two events of a writer: the load has to last as long as the faults
SLACK = 2.0  # seconds that a busy machine may add to a deadline


async def write(hub: Hub, writer: int) -> None:
    for number in count():
        done = False
        while not done:
            done = await acknowledged(hub, f"{writer}-{number % KEYS}", f"{writer}/{number}")
            await asyncio.sleep(PACE)
        if enough():
            return


def enough() -> bool:
    return ENOUGH.exists()


async def acknowledged(hub: Hub, key: str, id: str) -> bool:
    begun = time.monotonic()
    try:
        await hub.publish(TOPIC, TYPE, {"id": id}, key, event_id=id)
        return True
    except PublishError as error:
        print(f"{id}: {error.fate}: {error}", flush=True)
        return False
    finally:
        took = time.monotonic() - begun
        if took > hub.hub_settings.publish_timeout + SLACK:
            sys.exit(f"{id}: a call took {took:.1f} s")


async def main() -> None:
    async with Hub() as hub:
        await asyncio.gather(*(write(hub, writer) for writer in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main())
