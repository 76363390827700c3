"""Checks on sections that are valid by themselves: what is not installed, what has no effect, what clashes."""

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import chain, combinations
from typing import Any, NamedTuple

from balancer import registry as balancers
from discovery import registry as kinds
from discovery.contract import DiscoveryError, Options
from gobetween_py.config.acme import SHARED, Acme
from gobetween_py.config.bind import Bind
from gobetween_py.config.errors import Path, Problem, path_text
from gobetween_py.config.models import Api, Metrics, Profiler
from gobetween_py.config.server import Server
from gobetween_py.config.tls import BackendsTls, Tls
from gobetween_py.section import Section

Built = Iterable[tuple[Path, object]]
"""Every section of a config, with its path; of one that is wrong, what is valid of it."""


class Row(NamedTuple):
    """A section, the key to look at in it ("" = the section as such), and when the row applies."""

    section: type[Section]
    key: str
    applies: Callable[[Any], bool]


NO_EFFECT: dict[str, Row] = {
    "slow_start has no effect with this balance": Row(
        Server,
        "healthcheck",
        lambda s: s.healthcheck.slow_start and s.balance in balancers.BUILT_IN and not balancers.load(s.balance).shares,
    ),
    "has no effect unless protocol is 'tls'": Row(Server, "tls", lambda s: s.tls and s.protocol != "tls"),
    "has no effect unless protocol is 'udp'": Row(Server, "udp", lambda s: s.udp and s.protocol != "udp"),
    "has no effect when protocol is 'udp'": Row(Server, "sni", lambda s: s.sni and s.protocol == "udp"),
    "has no effect while client_auth is 'none'": Row(
        Tls, "client_ca_path", lambda tls: tls.client_ca_path and tls.client_auth == "none"
    ),
    "has no effect": Row(Tls, "prefer_server_ciphers", lambda tls: tls.prefer_server_ciphers),
    "has no effect on connections to backends": Row(
        BackendsTls, "prefer_server_ciphers", lambda tls: tls.prefer_server_ciphers
    ),
}
"""What may stand in a config but does nothing there: a warning."""

RISKS: dict[str, Row] = {
    "anybody who reaches this address may change everything: set basic_auth, bearer_tokens or tls.client_ca_path, or "
    "bind to 127.0.0.1": Row(Api, "bind", lambda api: api.enabled and api.is_open),
    "anybody who reaches this address may see what runs, and slow it down: bind to 127.0.0.1": Row(
        Profiler, "bind", lambda profiler: profiler.enabled and not (profiler.bind.path or profiler.bind.is_loopback)
    ),
    "is emptied when the machine starts; all certificates would have to be ordered anew, and authorities limit that: "
    "use a folder that stays": Row(Acme, "cache_dir", lambda acme: acme.cache_dir.rstrip("/") == SHARED),
}
"""What works, but should be known: a warning."""

ACME_HOSTS = Row(Tls, "acme_hosts", lambda tls: tls.acme_hosts)


def not_available(built: Built) -> Iterator[Problem]:
    """Every use of something that is not installed."""
    for path, section in built:
        if _applies(ACME_HOSTS, section) and find_spec("acme") is None:
            yield Problem(_at(path, ACME_HOSTS.key), "needs the Python package 'acme': pip install 'pygobetween[acme]'")
        if isinstance(section, Options) and hasattr(section, "kind"):
            try:
                kinds.load(section.kind)
            except DiscoveryError as error:
                yield Problem(_at(path, "kind"), str(error))


def worth_a_warning(built: Built) -> Iterator[Problem]:
    """Every setting that does nothing where it stands, or is a risk."""
    for path, section in built:
        for reason, row in {**NO_EFFECT, **RISKS}.items():
            if _applies(row, section):
                yield Problem(_at(path, row.key), reason)


def clashes(built: Built) -> Iterator[Problem]:
    """Listeners that want the same address, and servers that want certificates of an authority that is not there."""
    sections = list(built)
    listeners = [found for path, section in sections if (found := _listener(path, section))]
    rivals: dict[tuple[str, str, int], list[tuple[str, Bind]]] = {}
    for where, transport, bind in listeners:
        rivals.setdefault((transport, bind.path, bind.port), []).append((where, bind))
    for (where, bind), (other, its_bind) in chain.from_iterable(combinations(some, 2) for some in rivals.values()):
        if bind.overlaps(its_bind):
            yield Problem(other, f"is taken: {where} is {str(bind)!r}", repr(str(its_bind)))
    if not any(isinstance(section, Acme) for _, section in sections):
        for path, section in sections:
            if _applies(ACME_HOSTS, section):
                yield Problem(_at(path, ACME_HOSTS.key), "needs a section [acme]")


def _listener(path: Path, section: object) -> tuple[str, str, Bind] | None:
    """Where a section listens: its key, the transport and the bind."""
    try:
        if isinstance(section, Server):
            return _at(path, "bind"), section.transport, section.bind
        if isinstance(section, Acme) and section.challenge == "http":
            return _at(path, "http_bind"), "tcp", section.http_bind
        if isinstance(section, Api | Metrics | Profiler) and section.enabled:
            return _at(path, "bind"), "tcp", section.bind
    except AttributeError:  # the bind, or what it depends on, is wrong
        pass
    return None


def _applies(row: Row, section: object) -> bool:
    try:
        return isinstance(section, row.section) and bool(row.applies(section))
    except AttributeError:  # what it asks for is wrong, and told of
        return False


def _at(path: Path, key: str) -> str:
    return path_text((*path, key) if key else path)
