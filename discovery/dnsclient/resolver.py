"""The resolver: which servers are asked, for which names, and where CNAMEs lead."""

import asyncio
import ipaddress
import socket
from dataclasses import dataclass, replace

import dns.exception
import dns.name
import dns.rcode
import dns.resolver

from discovery.contract import DiscoveryError
from discovery.dnsclient.nameserver import NameServer
from discovery.dnsclient.reply import Question, Record, Reply, Type
from discovery.line import split_address

RESOLV_CONF = "/etc/resolv.conf"
PATIENCE = 1.0
"""Seconds without a reply after which the next server is asked as well."""
MAX_STEPS = 8
"""Replies that may each end in yet another CNAME."""
AT_ONCE = 16
"""Questions that are under way at the same time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the servers say. No records: the name has none of that type, or there is no such name."""

    records: list[Record]
    additional: list[Record]
    """What the server thought useful as well; may be incomplete."""
    ttl: int | None
    """Seconds that this may be kept, also if it is empty; None when nothing says so."""
    exists: bool
    """False: NXDOMAIN, there is no such name."""


class Resolver:
    """Asks one given server, or the system's.

    Args:
        server: `host:port`, a host name being looked up as the system does; None = those of resolv.conf.
        tcp: never ask over UDP.
    """

    def __init__(self, server: str | None, *, tcp: bool = False, resolv_conf: str = RESOLV_CONF) -> None:
        self._server = server
        self._tcp = tcp
        self._resolv_conf = resolv_conf
        self._known: dict[tuple[str, int], NameServer] = {}
        self._order: list[NameServer] = []
        self._search: list[dns.name.Name] = []
        self._ndots = 1
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def refresh(self) -> None:
        """Finds out whom to ask; to be called before each round of look-ups. Raises DiscoveryError."""
        found = await self._given(self._server) if self._server else self._system()
        for gone in self._known.keys() - set(found):
            await self._known.pop(gone).close()
        for host, port in found:
            self._known.setdefault((host, port), NameServer(host, port, tcp=self._tcp))
        self._order = [self._known[address] for address in dict.fromkeys(found)]

    async def lookup(self, name: str, wanted: Type) -> Answer:
        """The records of a name, through CNAMEs. Has no timeout.

        Where the system's resolvers are asked, a name without its last dot is searched for as resolv.conf says.
        Raises DiscoveryError, naming the servers, when none of them gives an answer.
        """
        empty: list[Answer] = []
        for candidate in self.candidates(name):
            answer = await self._chase(candidate, wanted)
            if answer.records:
                return answer
            empty.append(answer)
        ttl = min((answer.ttl for answer in empty if answer.ttl is not None), default=None)
        return replace(next((answer for answer in empty if answer.exists), empty[0]), ttl=ttl)

    @property
    def servers(self) -> list[str]:
        """Addresses of the servers, in the order in which they are asked."""
        return [server.address for server in self._order]

    def candidates(self, text: str) -> list[str]:
        """The names that `text` may mean, in the order in which they are asked for (resolv.conf(5))."""
        name = dns.name.from_text(text, None)
        if name.is_absolute() or self._server:
            return [_text(name)]
        searched = []
        for domain in self._search:
            try:
                searched.append(_text(name.concatenate(domain)))
            except dns.name.NameTooLong:
                continue
        return [_text(name), *searched] if len(name) > self._ndots else [*searched, _text(name)]

    async def close(self) -> None:
        """Gives back the connections."""
        for server in self._known.values():
            await server.close()

    async def _given(self, server: str) -> list[tuple[str, int]]:
        host, port = split_address(server)
        host = host.strip("[]")
        try:
            return [(str(ipaddress.ip_address(host)), int(port))]
        except ValueError:
            pass
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)
        except OSError as error:
            raise DiscoveryError(f"the name server's own name {host} cannot be looked up: {error}") from error
        return [(str(address[0]), int(port)) for *_, address in found]

    def _system(self) -> list[tuple[str, int]]:
        try:
            system = dns.resolver.Resolver(self._resolv_conf)
        except (dns.exception.DNSException, ValueError) as error:
            raise DiscoveryError(f"{self._resolv_conf} names no name server to ask: {error}") from error
        self._search = list(system.search)
        if not self._search and system.domain != dns.name.root:
            self._search = [system.domain]
        self._ndots = 1 if system.ndots is None else system.ndots
        return [(str(server), 53) for server in system.nameservers]

    async def _chase(self, start: str, wanted: Type) -> Answer:
        name, least = start, None
        for _ in range(MAX_STEPS):
            reply = await self._ask(Question(name, wanted))
            end, records, ttl = reply.follow(name, wanted)
            least = min((seconds for seconds in (least, ttl) if seconds is not None), default=None)
            exists = reply.rcode != dns.rcode.NXDOMAIN
            if end == name and any(record.type is Type.CNAME and record.name == name for record in reply.answer):
                break  # they lead in a circle
            if records or end == name or not exists or any(record.type is Type.SOA for record in reply.authority):
                return Answer(records, reply.additional, least, exists)
            name = end  # the server left the rest of the way to us, as one that is not recursive does
        raise DiscoveryError(f"{start}: the CNAMEs do not end")

    async def _ask(self, question: Question) -> Reply:
        """The first good reply. The next server is asked once one fails or is silent for PATIENCE."""
        async with self._slots:
            waiting, asked, failures = list(self._order), dict[asyncio.Task[Reply], NameServer](), list[str]()
            try:
                while waiting or asked:
                    if waiting:
                        server = waiting.pop(0)
                        asked[asyncio.create_task(server.ask(question))] = server
                    done, _ = await asyncio.wait(
                        asked, timeout=PATIENCE if waiting else None, return_when=asyncio.FIRST_COMPLETED
                    )
                    for task in done:
                        server = asked.pop(task)
                        if (error := task.exception()) is None:
                            self._prefer(server)
                            return task.result()
                        if not isinstance(error, DiscoveryError):
                            raise error
                        failures.append(str(error))
                raise DiscoveryError("; ".join(failures))
            finally:
                for task in asked:
                    task.cancel()
                await asyncio.gather(*asked, return_exceptions=True)

    def _prefer(self, server: NameServer) -> None:
        """The next questions of this round go to the server that answered."""
        if server in self._order:
            self._order.remove(server)
            self._order.insert(0, server)


def _text(name: dns.name.Name) -> str:
    return name.derelativize(dns.name.root).to_text().lower()
