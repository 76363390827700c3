"""Connections through the running balancer while a discovery's source changes.

    async with Identity("a") as a, Traffic(f'kind = "static"\\nstatic_list = ["{a.address}"]') as traffic:
        await traffic.served_by("a")

Identity    a backend that says its name, then echoes
Traffic     opens connections to the balancer without a pause, and knows who answered and what failed
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.services.balancer import Balancer
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

Ask = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[str]]
"""How to learn from an open connection which backend is behind it; raises OSError or EOFError when nobody is."""


async def greeting(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> str:
    """The name that an Identity backend says first."""
    return (await reader.readuntil(b"\n")).decode().strip()


def http_body(path: str = "/name") -> Ask:
    """The body of an HTTP server's answer to GET `path`, for backends that are web servers."""

    async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise ConnectionError(f"answered {head[:60]!r}")
        return (await reader.read()).decode().strip()

    return ask


def peak_memory(pid: int) -> int:
    """The most memory that a process ever had, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


class Identity:
    """A TCP backend that sends its name and a newline on connect, and then echoes what it gets."""

    def __init__(self, name: str, host: str = LOOPBACK) -> None:
        self.name = name
        self.host = host
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def address(self) -> str:
        """`host:port`, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    async def start(self) -> Self:
        """Listens; after stop(), again on the same port."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, backlog=1024)
        return self

    async def stop(self) -> None:
        """Refuses connections and resets the open ones, as a killed process does."""
        if self._server is not None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            writer.write(f"{self.name}\n".encode())
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


@dataclass
class Window:
    """What became of the connections that began within it."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    """Who answered, or "" for a failure, one connection after the other."""


@dataclass
class Held:
    """A connection that stays open, to an Identity backend."""

    name: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ping(self) -> None:
        """A line to the backend and back; raises when the connection is gone."""
        self.writer.write(b"ping\n")
        answer = await asyncio.wait_for(self.reader.readuntil(b"\n"), 5)
        if answer != b"ping\n":
            raise ConnectionError(f"{self.name} echoed {answer!r}")

    def close(self) -> None:
        self.writer.close()


class Traffic:
    """A Balancer with one server named `web`, and clients that open one connection after the other through it.

    Args:
        discovery: TOML of `[servers.web.discovery]`.
        server: further TOML lines of `[servers.web]`.
        environment: see Balancer.
        ask: who is behind a connection; `http_body()` for web servers.
        clients: how many connect at the same time. Each makes about 200 connections a second at most.
    """

    PATIENCE = 20.0
    """Seconds that a wanted state may take; tests that measure look at what the waits return."""

    def __init__(
        self,
        discovery: str,
        *,
        server: str = "",
        environment: Mapping[str, str] | None = None,
        ask: Ask = greeting,
        clients: int = 4,
    ) -> None:
        port = free_port()
        self.balancer = Balancer(
            '[logging]\nlevel = "debug"\n\n'
            f'[servers.web]\nbind = "{LOOPBACK}:{port}"\nshutdown_timeout = "1s"\n{server}\n\n'
            f"[servers.web.discovery]\n{discovery}\n",
            environment=environment,
        )
        self.balancer.port = port
        self.total = Window()
        self._windows = [self.total]
        self._ask = ask
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        try:
            await asyncio.to_thread(self.balancer.start)
        except BaseException:
            self.balancer.close()
            raise
        self._tasks = [asyncio.create_task(self._connect_on_and_on()) for _ in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.balancer.close)

    @property
    def log(self) -> str:
        """All that the balancer wrote."""
        return self.balancer.log_text()

    def told(self, text: str) -> int:
        """How many lines of the log contain the text, those for debugging apart."""
        return sum(text in line and "[DEBUG]" not in line for line in self.log.splitlines())

    @contextlib.contextmanager
    def window(self) -> Iterator[Window]:
        """Counts the connections that begin within it."""
        window = Window()
        self._windows = [*self._windows, window]
        try:
            yield window
        finally:
            self._windows = [other for other in self._windows if other is not window]

    @contextlib.asynccontextmanager
    async def without_failure(self) -> AsyncIterator[Window]:
        """Every connection within it gets its answer, and there are some."""
        with self.window() as window:
            yield window
            await self._until(lambda: len(window.order) >= 2 * self._clients, "no connections at all", window)
        assert not window.failures, f"{len(window.failures)} of {len(window.order)} failed: {window.failures[:5]}"

    async def served_by(self, *names: str) -> float:
        """Waits until exactly these backends answer and nothing fails; returns the seconds that took.

        "Exactly" is seen in the latest 20 connections for each name.
        """
        recent = 20 * len(names)
        with self.window() as window:
            return await self._until(
                lambda: len(window.order) >= recent and set(window.order[-recent:]) == set(names),
                f"not served by exactly {', '.join(names)}",
                window,
            )

    async def refused(self) -> float:
        """Waits until no connection gets an answer any more (20 in a row); returns the seconds that took."""
        with self.window() as window:
            return await self._until(
                lambda: len(window.order) >= 20 and set(window.order[-20:]) == {""}, "not refused", window
            )

    async def logged(self, text: str) -> None:
        """Waits until the balancer's log contains the text."""
        await self._until(lambda: text in self.log, f"{text!r} was not logged", self.total)

    async def told_times(self, times: int, text: str) -> None:
        """Waits until so many lines of the log contain the text, those for debugging apart."""
        await self._until(lambda: self.told(text) >= times, f"{text!r} was not logged {times} times", self.total)

    async def hold(self, name: str) -> Held:
        """A connection to the Identity backend of that name, kept open."""
        for _ in range(200):
            reader, writer = await asyncio.open_connection(LOOPBACK, self.balancer.port)
            with contextlib.suppress(OSError, EOFError):
                if (found := await greeting(reader, writer)) == name:
                    return Held(found, reader, writer)
            writer.close()
        raise AssertionError(f"{name} did not answer in 200 connections")

    async def _until(self, reached: Callable[[], bool], problem: str, window: Window) -> float:
        started = time.monotonic()
        while not reached():
            if time.monotonic() - started > self.PATIENCE:
                raise AssertionError(
                    f"{problem} within {self.PATIENCE} s: answers {dict(window.answers)}, "
                    f"{len(window.failures)} failures such as {window.failures[-1:]}; "
                    f"the balancer's log:\n{self.balancer.log_tail()}"
                )
            await asyncio.sleep(0.01)
        return time.monotonic() - started

    async def _connect_on_and_on(self) -> None:
        while True:
            windows = self._windows
            try:
                async with asyncio.timeout(5):
                    name, failure = await self._connect(), ""
            except (OSError, EOFError) as error:  # TimeoutError is an OSError
                name, failure = "", f"{type(error).__name__}: {error}"
            for window in windows:
                window.order.append(name)
                if name:
                    window.answers[name] += 1
                else:
                    window.failures.append(failure)
            await asyncio.sleep(0.005)

    async def _connect(self) -> str:
        reader, writer = await asyncio.open_connection(LOOPBACK, self.balancer.port)
        try:
            return await self._ask(reader, writer)
        finally:
            writer.close()
