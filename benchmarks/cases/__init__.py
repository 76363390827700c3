"""What is measured, a file per kind of load; CASES has them in the order of the report."""

import ssl

from benchmarks.cases.bulk import Bulk
from benchmarks.cases.connections import PROXIED, SNI, Connections
from benchmarks.cases.contract import Case
from benchmarks.cases.datagrams import Datagrams
from benchmarks.cases.handshakes import Handshakes
from benchmarks.cases.idle import IDLE, SESSIONS
from benchmarks.cases.messages import Messages
from benchmarks.cases.pingpong import PingPong
from benchmarks.cases.requests import Requests

CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Connections(),
        PROXIED,
        SNI,
        Messages(1),
        Messages(50),
        Bulk(1),
        Bulk(8),
        IDLE,
        PingPong(),
        Handshakes("handshakes", ssl.TLSVersion.TLSv1_3, resumed=False),
        Handshakes("resumed", ssl.TLSVersion.TLSv1_3, resumed=True),
        Handshakes("resumed-1.2", ssl.TLSVersion.TLSv1_2, resumed=True),
        Requests(50),
        Bulk(1, tls=True),
        Bulk(8, tls=True),
        Datagrams("datagrams-1", 1),
        Datagrams("datagrams-50", 50),
        Datagrams("queries", 50, once=True),
        SESSIONS,
    )
}

__all__ = ["CASES", "Case"]
