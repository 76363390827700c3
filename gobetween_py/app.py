"""A config, running: servers made from it, signals obeyed, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvloop

from balancer import Counters
from discovery.contract import DiscoveryError
from gobetween_py import log as logs
from gobetween_py.access_log import OutputError, Writers
from gobetween_py.api.endpoint import Endpoint as ApiEndpoint
from gobetween_py.bind import BindError
from gobetween_py.config import Config, ConfigErrors
from gobetween_py.config import Server as ServerConfig
from gobetween_py.config.edit import with_backends, with_server, without_server
from gobetween_py.metrics.endpoint import Endpoint as MetricsEndpoint
from gobetween_py.plan import MakeSite, Plan
from gobetween_py.profiler.endpoint import Endpoint as ProfilerEndpoint
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.reload import Difference, NameTakenError, Outcome, Status, UnknownServerError
from gobetween_py.server import Server
from gobetween_py.sources.contract import Source
from gobetween_py.web import CertificateError, Site

log = logging.getLogger("pygobetween")


def run(config: Config, source: Source | None = None, *, watch: bool = False, pidfile: Path | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status: 0, or 1 when it could not start.

    Args:
        source: what the config was read from, to be read again on SIGHUP.
        watch: whether it is followed when it changes.
    """
    try:
        logs.configure(config.logging.level, config.logging.output, config.logging.format, secrets=config.secrets())
    except OSError as error:
        return _refuse(f"logging.output: cannot write {config.logging.output}: {error.strerror}")
    _raise_file_limit()
    try:
        with _pidfile(pidfile):
            uvloop.run(App(config, source).run(watch=watch))
    except (BindError, CertificateError, OutputError) as error:
        return _refuse(str(error))
    except OSError as error:
        if pidfile is None or error.filename != str(pidfile):
            raise
        return _refuse(f"pid file: cannot write {pidfile}: {error.strerror}")
    return 0


class App:
    """All servers of a config in one process.

    Attributes:
        config: the running one.
        servers: by name, always the same dict. Those that are being removed are not in it any more.
        sites: what answers HTTP, by the key of its section: api, metrics, profiler.
        reloads: how reading the config again went.
        started: UNIX time.
        configuration: where the config came from, as gobetween's API tells it.
    """

    def __init__(self, config: Config, source: Source | None = None) -> None:
        self.config = config
        self.servers: dict[str, Server] = {}
        self.sites: dict[str, Site] = {}
        self.reloads = Status()
        self.started = time.time()
        self.configuration = source.described if source else {"kind": "none"}
        self._source = source
        self._counters = Counters()
        self._changing = asyncio.Lock()
        self._leaving: set[asyncio.Task[int]] = set()
        self._sections: dict[str, MakeSite] = {
            "api": lambda config, sock: ApiEndpoint(self, config.api, sock=sock),
            "profiler": lambda config, sock: ProfilerEndpoint(config.profiler.bind, sock=sock),
            "metrics": lambda config, sock: MetricsEndpoint(config.metrics.bind, self.servers, self.reloads, sock=sock),
        }
        self._hangup = asyncio.Event()
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self, *, watch: bool = False) -> None:
        """Start everything, wait for a signal, end in order.

        Args:
            watch: whether the config's source is watched, and followed when it changes.

        Raises:
            BindError: a server cannot listen; nothing was started.
            OutputError: an access log cannot be written; nothing was started.
        """
        # Modules and the like stay: the collector need not look at them again. Servers may go, and are left to it.
        gc.collect()
        gc.freeze()
        loop = asyncio.get_running_loop()
        self._reactor = Reactor(loop)
        self._writers = Writers(loop)
        tasks: list[asyncio.Task[None]] = []
        try:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(signum, self._on_signal, signum)
            loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
            loop.add_signal_handler(signal.SIGUSR1, self._reopen_logs)
            async with self._changing:
                await self._apply(self.config, since=Config())
            tasks.append(asyncio.create_task(self._reload_on_hangup(), name="SIGHUP"))
            if watch and self._source is not None:
                tasks.append(asyncio.create_task(self._follow(self._source), name="watch"))
            notify("READY=1")
            await self._stop.wait()
            notify("STOPPING=1")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for server in self.servers.values():
                self._see_off(server)
            for site in self.sites.values():
                self._see_off_site(site)
            cut = sum(await asyncio.gather(*self._leaving))
            await self._writers.close()
            log.info("stopped%s", f", {cut} open connections closed" if cut else "")
            self._reactor.close()

    # Changes of the config while it runs: one at a time, each checked whole before anything is touched.

    async def reload(self, cause: str) -> Outcome:
        """Read the config's source again and apply what differs. What is wrong is in the outcome and in the log.

        Args:
            cause: who asks, for the log: SIGHUP, API.
        """
        if self._source is None:
            return self._note(Outcome(cause, ("there is no file, URL or key to read the config from",)))
        async with self._changing:
            try:
                text = await self._source.read()
            except ConfigErrors as errors:
                return self._note(Outcome(cause, tuple(map(str, errors.problems))))
            return await self._take(self._source, text, cause)

    async def apply(self, config: Config) -> Difference:
        """Make a config the running one: what differs is changed, in place where possible.

        Returns when each server that is new, or has another discovery, has its first answer (or FIRST_ANSWER is over).

        Raises:
            BindError, OSError, DiscoveryError: nothing was changed.
        """
        async with self._changing:
            return await self._apply(config)

    async def add(self, name: str, data: object) -> None:
        """Start one more server.

        Args:
            data: the table of `[servers.NAME]` as plain data; [defaults] fill in what it does not say.

        Raises:
            NameTakenError, ConfigErrors, ClashError, BindError, PersistError: nothing was changed.
        """
        async with self._changing:
            if name in self.servers:
                raise NameTakenError(name)
            await self._edit(with_server(self.config, name, data), ("servers", name), data)

    async def change(self, name: str, data: object) -> None:
        """Give a server another table, whole: in place, connections and counters are kept.

        Raises:
            UnknownServerError, ConfigErrors, ClashError, BindError, PersistError: nothing was changed.
        """
        async with self._changing:
            self._require(name)
            await self._edit(with_server(self.config, name, data), ("servers", name), data)

    async def remove(self, name: str) -> None:
        """Stop a server: it is gone at once from `servers`; its connections may end within its shutdown_timeout.

        Raises:
            UnknownServerError, PersistError: nothing was changed.
        """
        async with self._changing:
            self._require(name)
            await self._edit(without_server(self.config, name), ("servers", name), None)

    async def keep_backends(self, name: str) -> None:
        """What is set by hand about a server's backends stands in its config from now on.

        Raises:
            UnknownServerError, PersistError: the config was not changed.
        """
        async with self._changing:
            self._require(name)
            server = self.servers[name]
            config = with_backends(self.config, name, server.overlay.overrides.values())
            overrides = [override.model_dump(exclude_defaults=True) for override in config.servers[name].backends]
            await self._store(("servers", name, "backends"), overrides or None)
            self.config, server.config = config, config.servers[name]

    async def _reload_on_hangup(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            await self.reload("SIGHUP")

    async def _follow(self, source: Source) -> None:
        async for text in source.changes():
            async with self._changing:
                if isinstance(text, str):
                    await self._take(source, text, "watch")
                else:
                    self._note(Outcome("watch", tuple(map(str, text.problems))))

    async def _take(self, source: Source, text: str, cause: str) -> Outcome:
        """Apply what a text says."""
        if not text.strip():  # cut off while it was written, or by mistake: it would remove all servers
            return self._note(Outcome(cause, (f"{source.name}: is empty",)))
        try:
            # In a thread: a long config takes a second to read.
            config = await asyncio.to_thread(source.config_of, text)
            return self._note(Outcome(cause, difference=await self._apply(config)))
        except ConfigErrors as errors:
            return self._note(Outcome(cause, tuple(map(str, errors.problems))))
        except (BindError, DiscoveryError, OSError) as error:
            return self._note(Outcome(cause, (str(error),)))
        except Exception as error:
            log.exception("defect in a reload")
            return self._note(Outcome(cause, (f"{type(error).__name__}: {error}",)))

    def _require(self, name: str) -> None:
        if name not in self.servers:
            raise UnknownServerError(name)

    async def _edit(self, config: Config, keys: tuple[str, ...], value: object) -> None:
        """Apply a change that was made by hand, and keep it where the config says so."""
        await self._apply(config, store=lambda: self._store(keys, value))

    async def _store(self, keys: tuple[str, ...], value: object) -> None:
        if self.config.api.persist and self._source is not None:
            await self._source.store(keys, value)

    async def _apply(
        self, config: Config, *, since: Config | None = None, store: Callable[[], Awaitable[None]] | None = None
    ) -> Difference:
        """The difference to `since`, the running config, made whole or not at all.

        Args:
            store: runs when nothing else can fail any more; if it fails, nothing is changed.
        """
        plan = Plan(
            since or self.config,
            config,
            servers=self.servers,
            sites=self.sites,
            make=self._make,
            sections=self._sections,
        )
        try:
            plan.prepare()
            self._writers.prepare(config.servers)
            if store is not None:
                await store()
        except BaseException:
            await plan.undo()
            raise
        self.config = config
        if plan.handler is not None:
            logs.install(plan.handler, config.logging.level)
        self.servers.update(plan.starting)
        self.sites.update(plan.sites_starting)
        for server in self.servers.values():
            server.count_ends(config.metrics.enabled)
        try:
            await plan.begin()
        finally:
            plan.switch()
            for server in plan.leaving:
                self._see_off(server)
            for key, site in plan.sites_leaving.items():
                self._see_off_site(site, replaced=plan.replaces(key))
            running = {name: self.servers[name] for name in config.servers}
            self.servers.clear()
            self.servers.update(running)
            self.sites = {key: site for key, site in self.sites.items() if site not in plan.sites_leaving.values()}
        self._writers.sweep()
        return plan.what

    def _make(self, name: str, config: ServerConfig, sock: socket.socket) -> Server:
        return Server(name, config, self._reactor, self._counters, sock=sock, writers=self._writers)

    def _note(self, outcome: Outcome) -> Outcome:
        """Keep it, and log it."""
        self.reloads.note(outcome)
        if outcome.errors:
            log.error("%s: the config is not reloaded, nothing has changed:", outcome.cause)
            for line in outcome.errors:
                log.error("%s: %s", outcome.cause, line)
        else:
            log.info("%s: reloaded: %s", outcome.cause, outcome.difference)
        return outcome

    # The end, of a server or of all.

    def _see_off(self, server: Server) -> None:
        """Stop accepting now; let open connections end, or close them after the server's shutdown_timeout."""
        server.stop_accepting()
        self._see_to(self._drain(server), f"{server.name}: end")

    def _see_off_site(self, site: Site, *, replaced: bool = False) -> None:
        """Stop it, without waiting: the request that asks for it may be one of its own."""

        async def stop() -> int:
            await site.stop(replaced=replaced)
            return 0

        self._see_to(stop(), f"{site.name}: end")

    def _see_to(self, work: Coroutine[Any, Any, int], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _drain(self, server: Server) -> int:
        await server.drained(self._stop_now)
        cut = await server.stop()
        log.info("%s: ended%s", server.name, f", {cut} open connections closed" if cut else "")
        return cut

    def _reopen_logs(self) -> None:
        """Somebody, logrotate say, has renamed the files."""
        self._writers.reopen()
        logs.reopen()

    def _on_signal(self, signum: int) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        log.info("%s: stopping%s", signal.Signals(signum).name, " at once" if self._stop.is_set() else "")
        self._stop.set()


def notify(state: str) -> None:
    """Tell systemd our state, if it asked (sd_notify(3)): "READY=1", "STOPPING=1"."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            # "@" stands for the NUL byte of an abstract socket.
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(state.encode())


def _refuse(message: str) -> int:
    print(f"pygobetween: {message}", file=sys.stderr)
    return 1


def _raise_file_limit() -> None:
    """A connection costs two fds, so ask for all that we may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def _pidfile(path: Path | None) -> Iterator[None]:
    """Hold our pid in a file while we run."""
    if path is None:
        yield
        return
    mine = f"{os.getpid()}\n"
    path.write_text(mine)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text() == mine:
                path.unlink()
