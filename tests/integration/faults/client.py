"""The clients of the fault run: `python -m tests.integration.faults.client PORT CONNECTIONS AT_ONCE SEED`.

Prints, as JSON, how many connections ended in which way:
    right           as the script says
    torn            with a reset, or short: right only where a backend was killed meanwhile
    WRONG BYTES, TOO MUCH, TORN LOOKS WHOLE
"""

import asyncio
import json
import random
import socket
import struct
import sys
from collections import Counter

import uvloop

from tests.integration.faults.script import Mode, Script

LINGER_0 = struct.pack("ii", 1, 0)
PATIENCE = 60.0


async def connection(port: int, script: Script) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        async with asyncio.timeout(PATIENCE):
            return await play(script, reader, writer)
    except TimeoutError:
        return f"HANGS in {script.mode.name}"
    finally:
        writer.transport.abort() if script.mode is Mode.CLIENT_RESETS else writer.close()


async def play(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    if script.mode is Mode.CLIENT_RESETS:
        writer.write(script.pack() + script.up[: script.up_size // 2])
        await asyncio.sleep(random.choice((0, 0, 0.002)))
        sock = writer.get_extra_info("socket")
        if sock is None:  # a killed backend was quicker
            return "torn"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        return "right"
    got = bytearray()
    torn = False
    try:
        if script.mode is Mode.BACKEND_HALF_CLOSES:
            writer.write(script.pack())
            got += await reader.read(-1)
            writer.write(script.up)
            writer.write_eof()
            await writer.drain()
        else:
            writer.write(script.pack() + script.up)
            if script.mode is Mode.CLIENT_HALF_CLOSES:
                writer.write_eof()
            while part := await reader.read(4_000 if script.mode is Mode.SLOW else -1):
                got += part
                if script.mode is Mode.SLOW:
                    await asyncio.sleep(0.001)
    except ConnectionError:
        torn = True
    return verdict(script, bytes(got), torn)


def verdict(script: Script, got: bytes, torn: bool) -> str:
    if not script.down.startswith(got):
        return "WRONG BYTES" if len(got) <= script.down_size else "TOO MUCH"
    if script.mode is Mode.BACKEND_RESETS:
        if torn:
            return "right"
        # A killed backend's kernel may say FIN: then it is short, as with any other mode.
        return "torn" if len(got) < script.down_size // 2 else "TORN LOOKS WHOLE"
    return "torn" if torn or len(got) < script.down_size else "right"


async def main(port: int, connections: int, at_once: int, seed: int) -> None:
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    left = connections

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            try:
                outcomes[await connection(port, Script.draw(dice))] += 1
            except ConnectionError:  # a killed backend's reset came before the connect was through
                outcomes["torn"] += 1

    await asyncio.gather(*(worker() for _ in range(at_once)))
    print(json.dumps(outcomes))


if __name__ == "__main__":
    uvloop.run(main(*(int(argument) for argument in sys.argv[1:])))
