"""`pygobetween demo`: a balancer, backends and clients in one process, talking real TCP over loopback.

The balancer is the one that a config starts; only the backends and the clients are of the demo. On the way one backend
is killed and comes back: its share goes to the others, and clients notice nothing but the connections it had open.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from dataclasses import dataclass, field

import uvloop
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from balancer import ACTIVE, REFUSED, RX, TOTAL, Backend, Counters
from gobetween_py import config as configs
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.server import Server

WEIGHTS = (5, 3, 2)
CLIENTS = 12
SIZES = (1_000, 20_000, 300_000)
"""Bytes of an answer: read at once, in some pieces, and long enough to be spliced."""

KILLED = 1
"""Which of the backends is killed..."""
KILL_AT, BACK_AT = 0.35, 0.65
"""...and when, in parts of the demo's time."""

REDRAW = 0.25
PLAIN_EVERY = 5.0
"""Seconds between two tables where there is no terminal to redraw one in."""

CONFIG = """\
[servers.demo]
bind = "127.0.0.1:0"
balance = "weight"
backend_connection_timeout = "2s"
client_idle_timeout = "1m"

  [servers.demo.discovery]
  kind = "static"
  static_list = [
    {backends}
  ]
"""


class DemoBackend:
    """Answers `N\\n` with N bytes that are its own, and closes."""

    def __init__(self, number: int) -> None:
        self.fill = bytes([ord("a") + number])
        self.port = 0
        self.up = False
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listen; after a kill on the same port as before."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.up = True

    def kill(self) -> None:
        """Vanish: no more connects, and open connections are torn."""
        assert self._server is not None
        self._server.close()
        self.up = False
        for writer in self._open:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            size = int(await reader.readline())
            writer.write(self.fill * size)
            await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@dataclass
class Outcome:
    """What the clients saw."""

    right: int = 0
    torn: int = 0
    refused: int = 0
    wrong: int = 0
    answered_by: Counter[bytes] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.right + self.torn + self.refused + self.wrong


class Demo:
    """The show: `run` it for some seconds.

    Args:
        console: where it is drawn; a terminal gets a live table, anything else a table now and then.
    """

    def __init__(self, seconds: float, console: Console) -> None:
        self.seconds = seconds
        self.console = console
        self.backends = [DemoBackend(number) for number in range(len(WEIGHTS))]
        self.outcome = Outcome()
        self._note = ""

    async def run(self) -> bool:
        """Play it; True when no answer was wrong or refused."""
        for backend in self.backends:
            await backend.start()
        lines = (f'"127.0.0.1:{b.port} weight={w}"' for b, w in zip(self.backends, WEIGHTS, strict=True))
        text = CONFIG.format(backends=",\n    ".join(lines))
        self.console.print(f"The config (see configs/ for more):\n\n{text}", highlight=False, markup=False)
        reactor = Reactor(asyncio.get_running_loop())
        server = Server("demo", configs.load(text).servers["demo"], reactor, Counters())
        self._server = server
        await server.start()
        loop = asyncio.get_running_loop()
        self._started = loop.time()
        clients = [asyncio.create_task(self._client(server.port)) for _ in range(CLIENTS)]
        try:
            async with asyncio.timeout(self.seconds), asyncio.TaskGroup() as tasks:
                tasks.create_task(self._incident())
                tasks.create_task(self._show())
        except TimeoutError:
            pass
        finally:
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            self._summary()
            server.stop_accepting()
            await server.stop()
            reactor.close()
            for backend in self.backends:
                if backend.up:
                    backend.kill()
        return not (self.outcome.wrong or self.outcome.refused)

    async def _client(self, port: int) -> None:
        while True:
            size = random.choice(SIZES)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"%d\n" % size)
                answer = await reader.read(-1)
            except OSError:
                self.outcome.torn += 1
                continue
            finally:
                writer.close()
            if not answer:
                self.outcome.refused += 1
            elif len(answer) == size and answer == answer[:1] * size:
                self.outcome.right += 1
                self.outcome.answered_by[answer[:1]] += 1
            else:
                self.outcome.wrong += 1

    async def _incident(self) -> None:
        victim = self.backends[KILLED]
        await asyncio.sleep(self.seconds * KILL_AT)
        victim.kill()
        self._note = f"127.0.0.1:{victim.port} was killed: its share goes to the others"
        await asyncio.sleep(self.seconds * (BACK_AT - KILL_AT))
        await victim.start()
        self._note = f"127.0.0.1:{victim.port} is back"
        await asyncio.Event().wait()

    async def _show(self) -> None:
        if self.console.is_terminal:
            with Live(self._table(), console=self.console, auto_refresh=False) as live:
                while True:
                    await asyncio.sleep(REDRAW)
                    live.update(self._table(), refresh=True)
        while True:
            await asyncio.sleep(min(PLAIN_EVERY, self.seconds / 3))
            self.console.print(self._table())

    def _table(self) -> Table:
        elapsed = asyncio.get_running_loop().time() - self._started
        table = Table(title=f"{elapsed:.0f} s  {self._note}", title_justify="left", box=box.SIMPLE)
        table.add_column("backend", no_wrap=True)
        table.add_column("")
        for heading in ("weight", "picks", "share", "open", "refused", "MB", "MB/s"):
            table.add_column(heading, justify="right")
        known = {backend.port: backend for backend in self._server.pool.backends}
        rows = [known[demo.port] for demo in self.backends]
        picks = sum(self._count(backend, TOTAL) for backend in rows) or 1
        for demo, backend in zip(self.backends, rows, strict=True):
            table.add_row(
                backend.address,
                "[green]up[/]" if demo.up else "[red]down[/]",
                str(backend.weight),
                f"{self._count(backend, TOTAL):,}",
                f"{self._count(backend, TOTAL) / picks:.1%}",
                str(self._count(backend, ACTIVE)),
                str(self._count(backend, REFUSED)),
                f"{self._count(backend, RX) / 1e6:,.1f}",
                f"{backend.rx_second / 1e6:,.1f}",
            )
        return table

    def _count(self, backend: Backend, column: int) -> int:
        return self._server.counters.values[backend.row + column]

    def _summary(self) -> None:
        outcome, elapsed = self.outcome, asyncio.get_running_loop().time() - self._started
        self.console.print(self._table())
        self.console.print(
            f"{outcome.total:,} connections in {elapsed:.1f} s: {outcome.right:,} answered in full, "
            f"{outcome.torn} torn with the killed backend, {outcome.refused} refused, {outcome.wrong} wrong.",
            highlight=False,
        )


def main(seconds: float) -> int:
    """Run the demo on the standard output; exit status 0, or 1 when a client got a wrong answer or none."""
    logging.basicConfig(level=logging.ERROR)
    right = False
    with contextlib.suppress(KeyboardInterrupt):
        right = uvloop.run(Demo(seconds, Console()).run())
    return 0 if right else 1
