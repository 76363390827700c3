"""Clients that go where they are told: `python -m tests.integration.faults.moving AT_ONCE SEED`.

A port on a line of stdin: new connections go there from now on. The end of stdin: no further ones. Prints outcomes as
faults/client.py does, and `FAILED ...` for each connection that could not be made.
"""

import asyncio
import json
import random
import sys
from collections import Counter

import uvloop

from tests.integration.faults.client import connection
from tests.integration.faults.script import Script


async def main(at_once: int, seed: int) -> None:
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    told = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    port: int | None = int(await told.readline())

    async def worker() -> None:
        while (there := port) is not None:
            try:
                outcomes[await connection(there, Script.draw(dice))] += 1
            except OSError as error:
                outcomes[f"FAILED {error!r}"] += 1

    workers = [asyncio.create_task(worker()) for _ in range(at_once)]
    while line := await told.readline():
        port = int(line)
    port = None
    await asyncio.gather(*workers)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    uvloop.run(main(*(int(argument) for argument in sys.argv[1:])))
