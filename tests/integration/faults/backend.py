"""The backend of the fault run: `python -m tests.integration.faults.backend PORT BOOKS`; SIGTERM ends it.

At its end it writes into the file BOOKS how many connections of each mode went right, and what went wrong.
"""

import asyncio
import json
import signal
import socket
import struct
import sys
from collections import Counter
from pathlib import Path

import uvloop

from tests.integration.faults.script import HEADER_SIZE, Mode, Script

LINGER_0 = struct.pack("ii", 1, 0)


class Backend:
    def __init__(self) -> None:
        self.books: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            script = Script.unpack(await reader.readexactly(HEADER_SIZE))
            self.books[await self.play(script, reader, writer)] += 1
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.books[f"cut: {type(error).__name__}"] += 1
        finally:
            writer.close()

    async def play(self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        match script.mode:
            case Mode.WHOLE | Mode.SLOW:
                if await reader.readexactly(script.up_size) != script.up:
                    return "WRONG BYTES"
                writer.write(script.down)
            case Mode.CLIENT_HALF_CLOSES:
                if await reader.read(-1) != script.up:
                    return "WRONG BYTES"
                writer.write(script.down)
            case Mode.BACKEND_HALF_CLOSES:
                writer.write(script.down)
                writer.write_eof()
                if await reader.read(-1) != script.up:
                    return "WRONG BYTES"
            case Mode.CLIENT_RESETS:
                return await self.expect_reset(script, reader)
            case Mode.BACKEND_RESETS:
                await reader.readexactly(script.up_size)
                writer.write(script.down[: script.down_size // 2])
                sock = writer.get_extra_info("socket")
                if sock is None:
                    return "cut"
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
                writer.transport.abort()
                return "right"
        await writer.drain()
        return "right"

    async def expect_reset(self, script: Script, reader: asyncio.StreamReader) -> str:
        got = b""
        try:
            while part := await reader.read(65_536):
                got += part
        except ConnectionResetError:
            return "right" if script.up.startswith(got) else "WRONG BYTES"
        return "TORN LOOKS WHOLE"


async def main(port: int, books: Path) -> None:
    backend = Backend()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with await asyncio.start_server(backend.serve, "127.0.0.1", port, limit=1 << 20, backlog=1024):
        await over.wait()
    books.write_text(json.dumps(backend.books))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2])))
