"""When a host gets its certificate: at once if there is none, again well before the end, and later if that fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from random import uniform

from discovery.backoff import Backoff, Pace
from discovery.blocking import Blocking
from discovery.contract import DiscoveryError
from gobetween_py.acme.challenges import Challenges
from gobetween_py.acme.errors import AcmeError
from gobetween_py.acme.store import Store, Stored
from gobetween_py.config.acme import Acme
from gobetween_py.tls.certificates import Certificate

log = logging.getLogger("pygobetween.acme")

LEFT = (1 / 3, 2 / 5)
"""Of a certificate's time, when it is renewed: somewhere between the two, so that many are not renewed at once."""

RETRIES = Pace(first=15.0, factor=4.0, cap=4 * 3600.0)
"""Let's Encrypt allows five failed validations of a host in an hour."""

PARALLEL = 2
"""Orders at a time."""

ORDER = 600.0
"""Seconds for an order, whatever the authority does."""

LOOK = 3600.0
"""Seconds of sleep at most: the clock that certificates go by may be set meanwhile."""


@dataclass(slots=True)
class Status:
    """How the orders for one host went. Counters only grow; last_error stays after recovery."""

    issued: int = 0
    failures: int = 0
    failing: bool = False
    last_error: str = ""


class Issuance:
    """The certificates of one `[acme]`.

    Life: construct -> keep, any number of times -> stop. Servers may ask for certificates before `keep`, which is what
    begins to order them.

    Args:
        before: what it follows, on a reload: its certificates are served until there are new ones.

    Attributes:
        statuses: by host, of those that are kept.
    """

    def __init__(self, settings: Acme, challenges: Challenges, before: Issuance | None = None) -> None:
        self.challenges = challenges
        self.statuses: dict[str, Status] = {}
        self._settings = settings
        self._store = Store(settings)
        self._stored: dict[str, Stored] = {}
        self._before: dict[str, Stored] = {**before._before, **before._stored} if before else {}
        self._told: list[Callable[[], None]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._orders = asyncio.Semaphore(PARALLEL)
        self._account = asyncio.Lock()
        self._again = asyncio.Event()

    def serving(self, hosts: Iterable[str]) -> dict[str, Stored]:
        """The certificates of those hosts that have one, be it still valid or not."""
        found = {}
        for host in hosts:
            certificate = self._own(host) or self._before.get(host)
            if certificate is not None:
                found[host] = certificate
        return found

    @contextlib.contextmanager
    def telling(self, told: Callable[[], None]) -> Iterator[None]:
        """Call it whenever there is another certificate."""
        self._told.append(told)
        try:
            yield
        finally:
            self._told.remove(told)

    def keep(self, hosts: Collection[str]) -> None:
        """From now on, see to it that these hosts have certificates, and no others."""
        for host in self._tasks.keys() - set(hosts):
            self._tasks.pop(host).cancel()
            del self.statuses[host]
        for host in hosts:
            if host not in self._tasks:
                self.statuses[host] = Status()
                self._tasks[host] = asyncio.create_task(self._keep(host), name=f"acme: {host}")

    def retry(self) -> None:
        """Order now what has failed, instead of when it is its turn."""
        self._again.set()
        self._again = asyncio.Event()

    def stop(self) -> None:
        """Order nothing any more. What an order in its thread still brings is in the cache for the next start."""
        self.keep(())

    def _own(self, host: str) -> Stored | None:
        """As it lies in the cache; read once."""
        if host not in self._stored:
            found = self._store.certificate(host)
            if found is None:
                return None
            self._stored[host] = found
        return self._stored[host]

    async def _keep(self, host: str) -> None:
        stored = self._own(host)
        if stored is None:
            log.info("%s: has no certificate of %s yet", host, self._settings.directory_url)
        while True:
            if stored is not None:
                await _until(renewal_of(stored.certificate, uniform(*LEFT)))
            stored = await self._renew(host)

    async def _renew(self, host: str) -> Stored:
        """Another certificate, however many attempts that takes."""
        status, backoff, blocking = self.statuses[host], Backoff(RETRIES), Blocking()
        while True:
            try:
                async with self._orders, asyncio.timeout(ORDER):
                    stored = await self._obtain(host, blocking)
                self._adopt(host, stored)
                if renewal_of(stored.certificate, LEFT[0]) <= time.time():  # to go on would be a loop
                    raise AcmeError("the new certificate is as good as over: is this machine's clock right?")
            except TimeoutError:
                error = f"the order was not through within {ORDER:g} s"
            except (AcmeError, DiscoveryError) as raised:
                error = str(raised)
            except Exception as raised:
                log.exception("%s: defect in an order", host)
                error = f"{type(raised).__name__}: {raised}"
            else:
                status.failing = False
                return stored
            status.failures += 1
            status.failing, status.last_error = True, error
            delay = backoff.next()
            self._log_failure(host, error, delay)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._again.wait()

    async def _obtain(self, host: str, blocking: Blocking) -> Stored:
        """Order a certificate; or take the one that another process has put into the cache meanwhile."""
        found = await blocking.call(self._store.certificate, host)
        if found not in (None, self._stored.get(host)) and renewal_of(found.certificate, LEFT[1]) > time.time():
            return found
        async with self._account:
            account_key = await blocking.call(_account_key, self._store)
        return await blocking.call(_order, self._settings, self._store, account_key, host, self.challenges)

    def _adopt(self, host: str, stored: Stored) -> None:
        self._stored[host] = stored
        self.statuses[host].issued += 1
        log.info("%s: has a certificate until %s", host, _moment(stored.certificate.ends))
        for told in tuple(self._told):
            told()

    def _log_failure(self, host: str, error: str, delay: float) -> None:
        served = self.serving((host,)).get(host)
        if served is None:
            level, meanwhile = logging.ERROR, "its clients are turned away"
        elif served.certificate.ends <= time.time():
            level, meanwhile = logging.ERROR, f"the one that ended at {_moment(served.certificate.ends)} is served"
        else:
            level, meanwhile = logging.WARNING, f"the one until {_moment(served.certificate.ends)} is served"
        log.log(level, "%s: no new certificate: %s; again in %.0f s, meanwhile %s", host, error, delay, meanwhile)


def renewal_of(certificate: Certificate, left: float) -> float:
    """When this share of its time is left; UNIX time."""
    return certificate.ends - (certificate.ends - certificate.begins) * left


async def _until(moment: float) -> None:
    while (left := moment - time.time()) > 0:  # noqa: ASYNC110  # there is no event: the clock may be set
        await asyncio.sleep(min(left, LOOK))


def _account_key(store: Store) -> bytes:
    """The account's key, made if there is none."""
    from gobetween_py.acme.client import new_key  # noqa: PLC0415  # an extra, and slow to import

    store.prepare()
    key = store.account_key()
    if key is None:
        key = new_key()
        store.keep_account_key(key)
    return key


def _order(settings: Acme, store: Store, account_key: bytes, host: str, challenges: Challenges) -> Stored:
    from gobetween_py.acme.client import order  # noqa: PLC0415  # as above

    store.prepare()
    return store.keep_certificate(host, order(settings, account_key, host, challenges))


def _moment(unix: float) -> str:
    return f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d %H:%M} UTC"
