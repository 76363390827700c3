"""A config, running: servers made from it, signals obeyed, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from balancer import BackendSpec
from discovery.contract import DiscoveryError
from gobetween_py import log as logs
from gobetween_py.access_log import OutputError
from gobetween_py.acme.endpoint import Endpoint as AcmeEndpoint
from gobetween_py.api.endpoint import Endpoint as ApiEndpoint
from gobetween_py.bind import BindError
from gobetween_py.config import Config, ConfigErrors, Problem
from gobetween_py.config.dump import unmasked
from gobetween_py.config.edit import ClashError, with_backends, with_server, with_table
from gobetween_py.edits import Edit
from gobetween_py.fleet import Fleet
from gobetween_py.metrics.endpoint import Endpoint as MetricsEndpoint
from gobetween_py.origin import Origin
from gobetween_py.overlay import Key
from gobetween_py.process import holding_pid, notify, raise_file_limit
from gobetween_py.profiler.endpoint import Endpoint as ProfilerEndpoint
from gobetween_py.reload import Difference, NameTakenError, Outcome, Status, UnknownServerError
from gobetween_py.sources.contract import Source
from gobetween_py.web import CertificateError

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
    raise_file_limit()
    try:
        with holding_pid(pidfile) as write_pid:
            uvloop.run(App(config, source).run(watch=watch, on_start=write_pid))
    except (BindError, CertificateError, OutputError) as error:
        return _refuse(str(error))
    except OSError as error:
        if pidfile is None or error.filename != str(pidfile):
            raise
        return _refuse(f"pid file: cannot write {pidfile}: {error.strerror}")
    return 0


class App:
    """A process that runs a config, and changes it on request.

    Attributes:
        servers, sites: what runs; see Fleet.
        reloads: how reading the config again went.
        started: UNIX time.
        configuration: where the config came from, as gobetween's API tells it.
    """

    def __init__(self, config: Config, source: Source | None = None) -> None:
        self.reloads = Status()
        self.started = time.time()
        self.configuration = source.described if source else {"kind": "none"}
        self._origin = Origin(config, source)
        self._changing = asyncio.Lock()
        self._hangup = asyncio.Event()
        self._stop = asyncio.Event()
        self._fleet = Fleet(
            config,
            {
                "api": lambda config, sock: ApiEndpoint(self, config.api, sock=sock),
                "metrics": lambda config, sock: MetricsEndpoint(
                    config.metrics.bind, self.servers, self.reloads, sock=sock
                ),
                "acme": self._challenge_site,
                "profiler": lambda config, sock: ProfilerEndpoint(config.profiler.bind, sock=sock),
            },
        )
        self.servers, self.sites = self._fleet.servers, self._fleet.sites

    @property
    def config(self) -> Config:
        """The running one."""
        return self._fleet.config

    @property
    def unsaved(self) -> Difference:
        """What was changed by hand, and does not stand where the config came from."""
        return self._origin.unsaved(self.config)

    async def run(self, *, watch: bool = False, on_start: Callable[[], None] = lambda: None) -> None:
        """Start everything, wait for a signal, end in order.

        Args:
            watch: whether the config's source is watched, and followed when it changes.
            on_start: called when everything has started; what it raises ends all of it.

        Raises:
            BindError, CertificateError, OutputError: something that the config asks for cannot be had; nothing was
                started.
        """
        # Modules and the like stay: the collector need not look at them again. Servers may go, and are left to it.
        gc.collect()
        gc.freeze()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[None]] = []
        try:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(signum, self._on_signal, signum)
            loop.add_signal_handler(signal.SIGHUP, self._hangup.set)
            loop.add_signal_handler(signal.SIGUSR1, self._fleet.reopen_logs)
            async with self._changing:
                await self._fleet.start()
            on_start()
            tasks.append(asyncio.create_task(self._reload_on_hangup(), name="SIGHUP"))
            source = self._origin.source
            if source is not None and self.config.api.persist and not source.writable:
                log.warning("api.persist: %s cannot be written: changes are refused", source.name)
            if source is not None and watch:
                tasks.append(asyncio.create_task(self._follow(source), name="watch"))
            notify("READY=1")
            await self._stop.wait()
            notify("STOPPING=1")
        except asyncio.CancelledError:
            if not self._stop.is_set():  # it was not our own interruption of the start
                raise
        finally:
            self._fleet.interrupt()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._origin.source is not None:
                await self._origin.source.close()
            async with self._changing:
                closed = await self._fleet.end()
            log.info("stopped%s", f", {closed} open connections closed" if closed else "")

    # Changes of the config while it runs: one at a time, each checked whole before anything is touched.

    async def reload(self, cause: str, *, discard: bool = False) -> Outcome:
        """Read the config's source again and apply what differs. What is wrong is in the outcome and in the log.

        Args:
            cause: who asks, for the log: SIGHUP, API.
            discard: whether what was changed by hand is dropped, and not only where the source says something new.
        """
        async with self._changing:
            notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            outcome = await self._attempt(cause, discard=discard)
            notify("READY=1")
            return outcome

    async def apply(self, config: Config) -> Difference:
        """Make a config the running one. Raises what Fleet.change raises: nothing was changed."""
        async with self._changing:
            return await self._fleet.change(config)

    async def add(self, name: str, data: object) -> None:
        """Start one more server.

        Args:
            data: the table of `[servers.NAME]` as plain data; [defaults] fill in what it does not say.

        Raises:
            NameTakenError, ConfigErrors, ClashError, PersistError, and what Fleet.change raises: nothing was changed.
        """
        async with self._changing:
            if name in self.servers:
                raise NameTakenError(name)
            await self._edit(await asyncio.to_thread(with_server, self.config, name, data), name, data)

    async def change(self, name: str, data: object) -> None:
        """Give a server another table, whole: in place, connections and counters are kept.

        A secret that is *** there, as it is shown, stays as it is.

        Raises:
            UnknownServerError, and what `add` raises: nothing was changed.
        """
        async with self._changing:
            self._require(name)
            data = await asyncio.to_thread(unmasked, data, self.config.servers[name])
            await self._edit(await asyncio.to_thread(with_server, self.config, name, data), name, data)

    async def remove(self, name: str) -> None:
        """Stop a server: it is gone at once from `servers`; its connections may end within its shutdown_timeout.

        Raises:
            UnknownServerError, PersistError: nothing was changed.
        """
        async with self._changing:
            self._require(name)
            await self._edit(with_table(self.config, name, None), name, None)

    async def edit_backend(self, name: str, key: Key, edit: Edit, deadline: float | None = None) -> None:
        """Set something about a backend of a server by hand.

        Args:
            edit: gets what is set about it, and returns what is to be set; may raise, then nothing is changed.
            deadline: of Edits.set or Edits.remove.

        Raises:
            UnknownServerError, PersistError, and what `edit` raises: nothing was changed.
        """
        async with self._changing:
            self._require(name)
            server = self.servers[name]
            override = edit(server.supply.overlay.overrides.get(key))
            others = {other: each for other, each in server.supply.overlay.overrides.items() if other != key}
            wanted = others if override is None else {**others, key: override}
            config = with_backends(self.config, name, wanted.values())
            await self._origin.keep_backends(config, name)
            self._fleet.config = config
            server.config = config.servers[name]
            told = override or f"{BackendSpec(*key).address}: nothing is set any more"
            log.info("%s: changed by hand: backend %s", name, told)
            if override is None:
                await server.edits.remove(key, deadline)
            else:
                await server.edits.set(override, deadline)

    def _challenge_site(self, config: Config, sock: socket.socket | None) -> AcmeEndpoint:
        assert config.acme is not None
        return AcmeEndpoint(config.acme.http_bind, self._fleet.challenges, sock=sock)

    async def _reload_on_hangup(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            await self.reload("SIGHUP")

    async def _follow(self, source: Source) -> None:
        async for text in source.changes():
            async with self._changing:
                await self._attempt("watch", text)

    async def _attempt(self, cause: str, text: str | ConfigErrors | None = None, *, discard: bool = False) -> Outcome:
        """Apply what the source says: this text, or what it says when it is asked."""
        try:
            now, (config, kept, dropped) = await self._origin.read(self.config, text, discard=discard)
            what = await self._fleet.change(config)
            if self._fleet.issuance is not None:  # whoever asks may have mended what it failed for
                self._fleet.issuance.retry()
        except ConfigErrors as errors:
            return self._note(Outcome(cause, errors.problems))
        except (BindError, CertificateError, ClashError, DiscoveryError, OSError) as error:
            return self._note(_failed(cause, str(error)))
        except Exception as error:
            log.exception("%s: defect in a reload", cause)
            return self._note(_failed(cause, f"{type(error).__name__}: {error}"))
        self._origin.config = now
        return self._note(Outcome(cause, difference=what, kept=kept, dropped=dropped))

    def _note(self, outcome: Outcome) -> Outcome:
        """Keep it, and log it."""
        self.reloads.note(outcome)
        if outcome.problems:
            log.error("%s: the config is not reloaded, nothing has changed:", outcome.cause)
            for problem in outcome.problems:
                log.error("%s: %s", outcome.cause, problem)
            return outcome
        log.info("%s: reloaded: %s", outcome.cause, outcome.difference)
        for name in outcome.kept:
            log.info("%s: servers.%s: what was changed by hand stays", outcome.cause, name)
        for name in outcome.dropped:
            log.warning("%s: servers.%s: what was changed by hand is dropped", outcome.cause, name)
        return outcome

    def _require(self, name: str) -> None:
        if name not in self.servers:
            raise UnknownServerError(name)

    async def _edit(self, config: Config, name: str, data: object) -> None:
        """Apply a change of a server that was made by hand, and keep it where the config says so."""
        what = await self._fleet.change(config, store=lambda: self._origin.keep_server(config, name, data))
        log.info("changed by hand: %s", what)

    def _on_signal(self, signum: int) -> None:
        self._fleet.interrupt()
        if self._stop.is_set():
            self._fleet.hurry()
        log.info("%s: stopping%s", signal.Signals(signum).name, " at once" if self._stop.is_set() else "")
        self._stop.set()


def _failed(cause: str, reason: str) -> Outcome:
    return Outcome(cause, (Problem("", reason),))


def _refuse(message: str) -> int:
    print(f"pygobetween: {message}", file=sys.stderr)
    return 1
