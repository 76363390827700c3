"""NSD: zones written by a test are what a resolver gets, over UDP and TCP."""

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.integration.conftest import Serve
from tests.services.nsd import Nsd
from tests.services.process import LOOPBACK


def _ask(nsd: Nsd, name: str, kind: str = "SRV") -> dns.message.Message:
    return dns.query.udp(dns.message.make_query(name, kind), LOOPBACK, port=nsd.port, timeout=5)


def _records(answer: dns.message.Message) -> list[str]:
    return [str(record) for group in answer.answer for record in group]


def test_a_zone_is_served_and_replaced(nsd: Nsd) -> None:
    nsd.write_zone("example.test", ["_web._tcp SRV 1 5 8001 a", "a A 127.0.0.1"])
    answer = _ask(nsd, "_web._tcp.example.test")
    assert _records(answer) == ["1 5 8001 a.example.test."]
    assert "a.example.test. 1 IN A 127.0.0.1" in [str(group) for group in answer.additional]
    nsd.write_zone("example.test", ["_web._tcp SRV 1 5 8002 a", "a A 127.0.0.1"])
    assert _records(_ask(nsd, "_web._tcp.example.test")) == ["1 5 8002 a.example.test."]


def test_minimal_responses_leave_addresses_out(serve: Serve) -> None:
    nsd = serve(Nsd(minimal_responses=True))
    nsd.write_zone("example.test", ["_web._tcp SRV 1 5 8001 a", "a A 127.0.0.1"])
    assert _ask(nsd, "_web._tcp.example.test").additional == []
    assert _records(_ask(nsd, "a.example.test", "A")) == ["127.0.0.1"]


def test_sixty_records_are_truncated_over_udp_and_whole_over_tcp(nsd: Nsd) -> None:
    nsd.write_zone("example.test", [f"_web._tcp SRV 1 5 {8000 + number} a" for number in range(60)] + ["a A 127.0.0.1"])
    answer = _ask(nsd, "_web._tcp.example.test")
    assert answer.flags & dns.flags.TC
    assert _records(answer) == []
    query = dns.message.make_query("_web._tcp.example.test", "SRV")
    assert len(_records(dns.query.tcp(query, LOOPBACK, port=nsd.port, timeout=5))) == 60


def test_nxdomain_servfail_and_refused(nsd: Nsd) -> None:
    nsd.write_zone("example.test", [])
    assert _ask(nsd, "nothing.example.test").rcode() == dns.rcode.NXDOMAIN
    assert _ask(nsd, "example.test").rcode() == dns.rcode.NOERROR
    nsd.write_broken_zone("example.test")
    assert _ask(nsd, "nothing.example.test").rcode() == dns.rcode.SERVFAIL
    nsd.delete_zone("example.test")
    assert _ask(nsd, "nothing.example.test").rcode() == dns.rcode.REFUSED
    nsd.write_zone("example.test", [])
    assert _ask(nsd, "nothing.example.test").rcode() == dns.rcode.NXDOMAIN


def test_records_that_cannot_be_are_refused_and_the_zone_stays(nsd: Nsd) -> None:
    nsd.write_zone("example.test", ["a A 127.0.0.1"])
    with pytest.raises(ValueError, match="invalid IPv4 address"):
        nsd.write_zone("example.test", ["a A 127.0.0"])
    assert _records(_ask(nsd, "a.example.test", "A")) == ["127.0.0.1"]


def test_zones_outlast_a_kill(nsd: Nsd) -> None:
    nsd.write_zone("example.test", ["a A 127.0.0.1"])
    nsd.kill()
    nsd.start()
    assert _records(_ask(nsd, "a.example.test", "A")) == ["127.0.0.1"]
