"""A publisher as a process: `python -m tests.faults.publisher FILE` sends what has no receipt yet.

It works in the scenario's folder, where the traces of publishers before it tell how far they came.
A batch is acknowledged as a whole before the next one begins: what is unknown after a SIGKILL lies
within one batch, and sent again in the same order it cannot swap anything.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.orders import plan
from tests.faults.trace import sent_in
from vectis.core import Hub
from vectis_commerce.demo.orders import read_orders

if TYPE_CHECKING:
    from tests.faults.orders import Planned

BATCH = 250


async def publish(planned: list[Planned]) -> None:
    async with Hub() as hub:
        waiting = iter(planned)
        while batch := list(islice(waiting, BATCH)):
            await asyncio.gather(
                *(
                    hub.publish(one.topic, one.type, one.data, one.key, event_id=one.id)
                    for one in batch
                )
            )


def main(file: str) -> None:
    done = {one.id for one in sent_in(Path.cwd()) if one.what == "acknowledged"}
    orders = read_orders(Path(file)).orders
    asyncio.run(publish([one for one in plan(orders) if one.id not in done]))


if __name__ == "__main__":
    main(sys.argv[1])
