"""Where a check goes."""

import asyncio
import socket
from typing import Any

import pytest

from balancer import Backend, BackendSpec
from gobetween_py.healthcheck import places as module
from gobetween_py.healthcheck.contract import NoVerdictError, Options, Target
from gobetween_py.healthcheck.places import Approach, Places
from gobetween_py.proxy.source import Source


def backend(
    host: str = "10.0.0.1", port: int = 80, sockaddr: Any = ("10.0.0.1", 80), family: int = socket.AF_INET
) -> Backend:
    found = Backend(BackendSpec(host, port, sni="sni.example"), 0)
    found.family, found.sockaddr = family, sockaddr
    return found


class Addresses:
    """Told of an address that did not answer, it names the next one."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __call__(self, backend: Backend, sockaddr: Any) -> bool:
        self.told.append(sockaddr)
        return True


def places(*, by_name: bool = False, next_address: Any = None, **keys: object) -> Places:
    return Places(Options.model_validate(keys), by_name=by_name, next_address=next_address or Addresses())


async def test_it_goes_to_the_backend_itself() -> None:
    assert await places().find(backend()) == Target("10.0.0.1", 80, socket.AF_INET, ("10.0.0.1", 80), "sni.example")


async def test_or_to_another_port_of_it() -> None:
    assert await places(port=81).find(backend()) == Target(
        "10.0.0.1", 81, socket.AF_INET, ("10.0.0.1", 81), "sni.example"
    )
    ipv6 = backend("fe80::1", 80, ("fe80::1", 80, 0, 2), socket.AF_INET6)
    assert (await places(port=81).find(ipv6)).sockaddr == ("fe80::1", 81, 0, 2)


async def test_or_to_another_host() -> None:
    found = await places(host="127.0.0.1").find(backend())
    assert (found.host, found.port, found.sockaddr) == ("127.0.0.1", 80, ("127.0.0.1", 80))
    found = await places(host="[::1]", port=81).find(backend())
    assert (found.host, found.family, found.sockaddr) == ("::1", socket.AF_INET6, ("::1", 81, 0, 0))


async def test_the_other_host_may_be_a_name() -> None:
    found = await places(host="localhost", port=81).find(backend())
    assert (found.host, found.sockaddr[1]) == ("localhost", 81)
    assert found.sockaddr[0] in ("127.0.0.1", "::1")


async def test_a_name_that_is_none_says_nothing_of_the_backend() -> None:
    with pytest.raises(NoVerdictError, match=r"cannot resolve no-such-host\.invalid"):
        await places(host="no-such-host.invalid").find(backend())


async def test_a_name_is_looked_up_once_for_all_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, asked = asyncio.get_running_loop(), []

    async def getaddrinfo(host: str, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        await asyncio.sleep(0)
        return [(socket.AF_INET, None, None, "", ("10.9.9.9", 0))]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    found = places(host="checks.example")
    targets = await asyncio.gather(*(found.find(backend()) for _ in range(50)))
    assert asked == ["checks.example"]
    assert {target.sockaddr for target in targets} == {("10.9.9.9", 80)}


async def test_a_unix_socket_has_no_port() -> None:
    found = await places(port=81).find(backend("unix:/run/a", 0, "/run/a", socket.AF_UNIX))
    assert (found.port, found.sockaddr) == (0, "/run/a")
    found = await places(host="unix:/run/b", port=81).find(backend())
    assert (found.host, found.port, found.sockaddr) == ("unix:/run/b", 0, "/run/b")


async def test_a_program_gets_host_and_port_by_name() -> None:
    assert await places(by_name=True, port=81).find(backend("web.example", 80, None)) == Target(
        "web.example", 81, 0, None, "sni.example"
    )


async def test_a_backend_without_an_address_cannot_be_judged() -> None:
    with pytest.raises(NoVerdictError, match=r"web\.example is not resolved"):
        await places().find(backend("web.example", 80, None))


async def test_when_it_fails_the_next_address_of_the_backend_is_asked_for() -> None:
    """By the address of the backend, not the one that was checked."""
    addresses = Addresses()
    there = places(port=81, next_address=addresses)
    assert there.move_on(backend(), [await there.find(backend())])
    assert addresses.told == [("10.0.0.1", 80)]


async def test_another_host_has_no_next_address() -> None:
    there = places(host="127.0.0.1")
    assert not there.move_on(backend(), [await there.find(backend())])


async def test_a_name_of_another_host_has_as_many_as_it_resolves_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """One check tries all of them; the next one begins with the one that answered."""

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [
            (socket.AF_INET6, None, None, "", ("::1", 0, 0, 0)),
            (socket.AF_INET, None, None, "", ("10.9.9.9", 0)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    there = places(host="checks.example")
    first = await there.find(backend())
    assert first.sockaddr == ("::1", 80, 0, 0)
    assert there.move_on(backend(), [first])
    second = await there.find(backend(), [first])
    assert second.sockaddr == ("10.9.9.9", 80)
    assert (await there.find(backend())).sockaddr == ("10.9.9.9", 80)
    assert not there.move_on(backend(), [first, second])
    assert {(await there.find(backend(), [one])).sockaddr for one in (first, second)} == {
        first.sockaddr,
        second.sockaddr,
    }


async def test_the_address_that_answered_stays_the_first_when_the_name_is_looked_up_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Although name servers like to shuffle them."""
    shuffled = [[("10.9.9.1", 0), ("10.9.9.2", 0)], [("10.9.9.2", 0), ("10.9.9.1", 0)], [("10.9.9.3", 0)]]

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, None, None, "", address) for address in shuffled.pop(0)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(module, "REFRESH", 0.0)
    there = places(host="checks.example")
    found = [(await there.find(backend())).sockaddr[0] for _ in range(3)]
    assert found == ["10.9.9.1", "10.9.9.1", "10.9.9.3"]


APPROACH = Approach(Source(own={socket.AF_INET: "10.0.0.9"}), lambda backend: backend.host.encode())


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({}, True),
        ({"port": 81}, False),
        ({"host": "127.0.0.1"}, False),
        ({"port": 81, "send_proxy": True}, True),
        ({"send_proxy": False}, False),
    ],
)
async def test_it_comes_like_a_client_and_elsewhere_without_a_header(keys: dict[str, object], sent: bool) -> None:
    """Another port or host is another service, which may know nothing of PROXY headers."""
    there = Places(Options.model_validate(keys), by_name=False, next_address=Addresses(), approach=APPROACH)
    found = await there.find(backend())
    assert found.source == APPROACH.source
    assert found.header == (b"10.0.0.1" if sent else b"")
